"""Attention against its definition, written out with a softmax."""

from __future__ import annotations

import pytest
import torch

from training.models.attention import Attention
from training.models.cached_attention import CachedAttention, Heads, Span
from training.models.positions import frequencies, rotate, rotations, sinusoids


def by_definition(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    scores = query @ keys.transpose(-1, -2) * query.shape[-1] ** -0.5
    return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ values


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("rotary", [False, True])
def test_cached_attention_is_causal_grouped_attention(kv_heads, rotary):
    layer = CachedAttention(Heads(32, 4, kv_heads, 8))
    tables = rotations(16, frequencies(8, 10_000.0)) if rotary else None
    x = torch.randn(2, 10, 32)
    caches = (torch.zeros(2, kv_heads, 16, 8) for _ in range(2))
    out, keys, _ = layer(x, Span(torch.zeros(2, dtype=torch.int64), torch.tensor([10, 10]), 10, tables), *caches)

    query, key, value = layer.project(x).split((32, 8 * kv_heads, 8 * kv_heads), dim=-1)
    query, key, value = (part.unflatten(-1, (-1, 8)).transpose(1, 2) for part in (query, key, value))
    if tables:
        query, key = (rotate(part, tables[0][:10], tables[1][:10]) for part in (query, key))
    torch.testing.assert_close(keys[:, :, :10], key)
    key, value = (part.repeat_interleave(4 // kv_heads, dim=1) for part in (key, value))
    mixed = by_definition(query, key, value, torch.ones(10, 10, dtype=torch.bool).tril())
    torch.testing.assert_close(out, layer.merge(mixed.transpose(1, 2).flatten(2)))


def test_rows_at_different_positions_write_where_they_stand_and_nowhere_else():
    layer = CachedAttention(Heads(16, 2, 2, 8))
    keys, values = torch.randn(3, 2, 8, 8), torch.randn(3, 2, 8, 8)
    span = Span(torch.tensor([0, 3, 7]), torch.tensor([4, 2, 1]), 4)
    _, new, _ = layer(torch.randn(3, 4, 16), span, keys, values)
    written = (new != keys).any(-1).any(1)  # [B, capacity]
    assert written.tolist() == [
        [True, True, True, True, False, False, False, False],
        [False, False, False, True, True, False, False, False],
        [False, False, False, False, False, False, False, True],
    ]


def test_attention_reads_real_places_of_the_memory_only():
    layer = Attention(width=16, heads=2, dropout=0.0)
    x, source = torch.randn(1, 3, 16), torch.randn(1, 5, 16)
    keys, values = layer.memory(source)
    out = layer(x, keys, values, torch.tensor([True, True, True, False, False])[None, None, None])
    expected = layer(x, *layer.memory(source[:, :3]), torch.ones(1, 1, 1, 3, dtype=torch.bool))
    torch.testing.assert_close(out, expected)
    query = layer.query(x).unflatten(-1, (2, 8)).transpose(1, 2)
    mixed = by_definition(query, keys, values, torch.arange(5) < 3)
    torch.testing.assert_close(out, layer.merge(mixed.transpose(1, 2).flatten(2)))


def test_sinusoids_are_those_of_the_paper():
    table = sinusoids(50, 8)
    assert table.shape == (50, 8)
    assert table[7, 2].item() == pytest.approx(torch.tensor(7 / 10_000 ** (2 / 8)).sin().item(), abs=1e-6)
    assert table[7, 3].item() == pytest.approx(torch.tensor(7 / 10_000 ** (2 / 8)).cos().item(), abs=1e-6)


def test_rotated_products_depend_on_distance_alone():
    cosines, sines = rotations(40, frequencies(16, 10_000.0))
    query, key = torch.randn(16), torch.randn(16)

    def product(i: int, j: int) -> torch.Tensor:
        return rotate(query, cosines[i], sines[i]) @ rotate(key, cosines[j], sines[j])

    torch.testing.assert_close(product(5, 2), product(38, 35), rtol=1e-4, atol=1e-4)
