"""One order of an n-gram model as a hash table of fixed size, looked up with tensor operations that export.

Contexts are exact int64 keys in an open-addressing table: a key lies in one of the `PROBES` slots from its home on, so
a lookup compares that many keys at once and needs no loop. Knows nothing about how contexts are numbered.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from training.models.counting import Floats, Integers

PROBES = 8
_PRIME = 2**31 - 1  # products of two residues stay below 2^62
_MULTIPLIER = 1_220_703_125  # 5^13: neighbouring keys land far apart
_EMPTY = -1


class ContextTable(nn.Module):
    """For each context the shares of its likeliest successors, and the mass left to the lower order.

    Attributes:
        keys: [slots] int64, -1 where no context lies; the last slot is always empty and stands for every absent key.
        successors: [slots, limit] int32 token ids.
        shares: [slots, limit] float32, probability of each successor; 0 where there is none.
        rest: [slots] float32, 1 - sum of shares.
    """

    keys: Tensor
    successors: Tensor
    shares: Tensor
    rest: Tensor

    def __init__(self, bits: int, limit: int) -> None:
        super().__init__()
        self.homes = 2**bits
        slots = self.homes + PROBES  # PROBES - 1 beyond the last home, and the empty one
        self.register_buffer("keys", torch.full((slots,), _EMPTY))
        self.register_buffer("successors", torch.zeros(slots, limit, dtype=torch.int32))
        self.register_buffer("shares", torch.zeros(slots, limit))
        self.register_buffer("rest", torch.ones(slots))

    def fill(self, keys: Integers, following: Integers, vocabulary_size: int) -> None:
        """Count which token follows each key and keep, as far as the table has room, the contexts seen most often."""
        contexts, counts, successors, shares = _likeliest(keys, following, vocabulary_size, self.shares.shape[1])
        order = np.lexsort((contexts, -counts))
        slots = _place(contexts[order], self.homes)
        kept = order[slots >= 0]
        where = torch.from_numpy(slots[slots >= 0])
        self.keys.fill_(_EMPTY)[where] = torch.from_numpy(contexts[kept])
        self.successors.zero_()[where] = torch.from_numpy(successors[kept]).int()
        self.shares.zero_()[where] = torch.from_numpy(shares[kept]).float()
        self.rest.fill_(1.0)[where] = torch.from_numpy(1 - shares[kept].sum(axis=1)).float()

    def mix(self, keys: Tensor, lower: Tensor) -> Tensor:
        """Interpolate probabilities: this order's for the contexts `keys` [...], `lower` [..., V] for what is left."""
        slots = self._find(keys)
        successors, shares = self.successors[slots].long(), self.shares[slots]
        return (lower * self.rest[slots][..., None]).scatter_add(-1, successors, shares)

    def _find(self, keys: Tensor) -> Tensor:
        absent = self.keys.shape[0] - 1
        home = (keys % _PRIME) * _MULTIPLIER % _PRIME % self.homes
        slots = home[..., None] + torch.arange(PROBES, device=keys.device)
        match = torch.eq(self.keys[slots], keys[..., None]).long()  # at most one of them
        found: Tensor = absent + (match * (slots - absent)).sum(-1)
        return found


def _likeliest(
    keys: Integers, following: Integers, vocabulary_size: int, limit: int
) -> tuple[Integers, Integers, Integers, Floats]:
    """Return the distinct contexts [C], how often each was seen [C], its successors and their shares [C, limit].

    A share is count / (N + T), with N and T as in Witten-Bell smoothing.
    """
    pairs, counts = np.unique(keys * vocabulary_size + following, return_counts=True)
    contexts, starts = np.unique(pairs // vocabulary_size, return_index=True)
    distinct = np.diff(starts, append=len(pairs))
    totals = np.add.reduceat(counts, starts)
    owner = np.repeat(np.arange(len(contexts)), distinct)
    order = np.lexsort((-counts, owner))  # owners stay where they were; the frequent come first within each
    rank = np.arange(len(pairs)) - starts[owner]
    order, owner, rank = (array[rank < limit] for array in (order, owner, rank))
    successors = np.zeros((len(contexts), limit), dtype=np.int64)
    shares = np.zeros((len(contexts), limit))
    successors[owner, rank] = pairs[order] % vocabulary_size
    shares[owner, rank] = counts[order] / (totals + distinct)[owner]
    return contexts, totals, successors, shares


def _place(contexts: Integers, homes: int) -> Integers:
    """Give each context a slot within `PROBES` of its home, or -1. Earlier contexts come first.

    Every context asks for its slots in turn and gives way to an earlier one (deferred acceptance, Gale and Shapley
    1962), all of them at once; so no context is left out for the sake of a later one.
    """
    home = contexts % _PRIME * _MULTIPLIER % _PRIME % homes
    nobody = len(contexts)
    holder = np.full(homes + PROBES, nobody, dtype=np.int64)
    probe = np.zeros(len(contexts), dtype=np.int64)
    asking = np.arange(len(contexts))
    while len(asking):
        wanted = home[asking] + probe[asking]
        before = holder.copy()
        np.minimum.at(holder, wanted, asking)
        displaced = before[(holder != before) & (before != nobody)]
        refused = np.concatenate((asking[holder[wanted] != asking], displaced))
        probe[refused] += 1
        asking = refused[probe[refused] < PROBES]
    slots = np.full(len(contexts), -1, dtype=np.int64)
    taken = np.flatnonzero(holder != nobody)
    slots[holder[taken]] = taken
    return slots
