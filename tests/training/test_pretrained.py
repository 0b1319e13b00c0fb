"""Checkpoints of transformers, randomly initialised, against what their own library computes from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
import torch
import transformers
from tokenizers import models, pre_tokenizers, processors

from training.models.step_model import SourceStepModel
from training.pretrained.__main__ import main
from training.run import load_run

VOCABULARY = 97
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}  # fmt: skip
SCALED = {"rope_theta": 5e4, "factor": 4.0, "original_max_position_embeddings": 16}
CAUSAL = {
    "llama": transformers.LlamaConfig(**SIZES, head_dim=32, rms_norm_eps=1e-3),
    "llama, tied, all biases": transformers.LlamaConfig(
        **SIZES, attention_bias=True, mlp_bias=True, tie_word_embeddings=True
    ),
    "llama, linear": transformers.LlamaConfig(**SIZES, rope_parameters={**SCALED, "rope_type": "linear"}),
    "llama, llama3": transformers.LlamaConfig(
        **SIZES, rope_parameters={**SCALED, "rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    ),
    "llama, yarn": transformers.LlamaConfig(**SIZES, rope_parameters={**SCALED, "rope_type": "yarn"}),
    "mistral": transformers.MistralConfig(**SIZES, sliding_window=None),
    "qwen2": transformers.Qwen2Config(**SIZES),
    "qwen3": transformers.Qwen3Config(**SIZES, head_dim=16),
    "gpt2": transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=64, n_layer=3, n_head=4, n_positions=128, bos_token_id=1, eos_token_id=2
    ),
}
MARIAN = transformers.MarianConfig(
    vocab_size=VOCABULARY, d_model=64, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
    decoder_attention_heads=4, encoder_ffn_dim=96, decoder_ffn_dim=96, max_position_embeddings=64,
    activation_function="swish", scale_embedding=True, pad_token_id=0, eos_token_id=2, decoder_start_token_id=0,
)  # fmt: skip


def save(model: transformers.PreTrainedModel, folder: Path, *, opens: bool = False) -> None:
    """Write a checkpoint whose weights are far from their initial near-zeros."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("embed_positions.weight"):  # sinusoids
                parameter.normal_(mean=0.0 if parameter.dim() > 1 else 0.5, std=0.2)
    model.save_pretrained(folder)
    vocabulary = {name: index for index, name in enumerate(["<s>", "<b>", "</s>", *map(chr, range(33, 127))])}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="</s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.add_special_tokens(["<s>", "<b>", "</s>"])
    if opens:
        tokenizer.post_processor = processors.TemplateProcessing(single="<b> $A", special_tokens=[("<b>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", "chat_template": "{{ messages }}"}))


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("name", CAUSAL)
def test_a_causal_model_computes_what_its_own_library_does(name, tmp_path, capsys):
    theirs = transformers.AutoModelForCausalLM.from_config(CAUSAL[name]).eval()
    save(theirs, tmp_path / "theirs")
    assert main([str(tmp_path / "theirs"), "--out", str(tmp_path / "run")]) == 0, capsys.readouterr().err
    run = load_run(tmp_path / "run")
    tokens = torch.randint(VOCABULARY, (3, 90), generator=torch.Generator().manual_seed(1))
    lengths = torch.full((3,), 90)
    with torch.no_grad():
        expected = theirs(tokens).logits
        whole, _ = run.model(tokens, lengths, run.model.initial_state(3))
        _, state = run.model(tokens[:, :50], torch.full((3,), 50), run.model.initial_state(3))
        rest, _ = run.model(tokens[:, 50:], torch.full((3,), 40), state)
    assert relative(whole, expected) < 2e-5
    assert relative(rest, expected[:, 50:]) < 2e-5


def test_marian_computes_what_its_own_library_does(tmp_path, capsys):
    theirs = transformers.MarianMTModel(MARIAN).eval()
    save(theirs, tmp_path / "theirs")
    assert main([str(tmp_path / "theirs"), "--out", str(tmp_path / "run")]) == 0, capsys.readouterr().err
    run = load_run(tmp_path / "run")
    assert isinstance(run.model, SourceStepModel)
    generator = torch.Generator().manual_seed(1)
    source, target = (torch.randint(3, VOCABULARY, (2, length), generator=generator) for length in (30, 20))
    lengths = torch.tensor([30, 17])
    mask = (torch.arange(30) < lengths[:, None]).long()
    with torch.no_grad():
        expected = theirs(input_ids=source, attention_mask=mask, decoder_input_ids=target).logits
        state = {**run.model.initial_state(2), **run.model.start(source, lengths)}
        logits, _ = run.model(target, torch.full((2,), 20), state)
    assert relative(logits, expected) < 2e-5
    assert (run.special_tokens.bos, run.special_tokens.eos) == (0, 2)


@pytest.mark.parametrize("name", ["llama", "llama, yarn", "qwen3", "gpt2"])
def test_the_attention_of_a_causal_model_is_that_of_its_own_library(name, tmp_path, capsys):
    theirs = transformers.AutoModelForCausalLM.from_config(CAUSAL[name], attn_implementation="eager").eval()
    save(theirs, tmp_path / "theirs")
    assert main([str(tmp_path / "theirs"), "--out", str(tmp_path / "run")]) == 0, capsys.readouterr().err
    model = load_run(tmp_path / "run").model
    tokens = torch.randint(VOCABULARY, (1, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(tokens, output_attentions=True).attentions
        _, views = model.look(tokens, model.initial_state(1, 0))
    assert len(views) == len(expected) == 3
    for layer, weights in enumerate(expected):
        torch.testing.assert_close(views[f"decoder_{layer}_self_attention"], weights, atol=1e-5, rtol=1e-4)


def test_the_attention_of_marian_is_that_of_its_own_library(tmp_path, capsys):
    theirs = transformers.MarianMTModel(MARIAN).eval()
    theirs.set_attn_implementation("eager")
    save(theirs, tmp_path / "theirs")
    assert main([str(tmp_path / "theirs"), "--out", str(tmp_path / "run")]) == 0, capsys.readouterr().err
    model = load_run(tmp_path / "run").model
    assert isinstance(model, SourceStepModel)
    generator = torch.Generator().manual_seed(1)
    source, target = (torch.randint(3, VOCABULARY, (1, length), generator=generator) for length in (30, 20))
    with torch.no_grad():
        expected = theirs(input_ids=source, decoder_input_ids=target, output_attentions=True)
        state, views = model.look_at_source(source)
        _, more = model.look(target, {**model.initial_state(1, 0), **state})
    views |= more
    for name, theirs_of_name in [
        ("encoder_{}_self_attention", expected.encoder_attentions),
        ("decoder_{}_self_attention", expected.decoder_attentions),
        ("decoder_{}_cross_attention", expected.cross_attentions),
    ]:
        for layer, weights in enumerate(theirs_of_name):
            torch.testing.assert_close(views[name.format(layer)], weights, atol=1e-5, rtol=1e-4)


def test_a_prompt_opens_as_the_tokenizer_has_it(tmp_path):
    for opens in (False, True):
        folder = tmp_path / str(opens)
        save(transformers.AutoModelForCausalLM.from_config(CAUSAL["llama"]), folder / "theirs", opens=opens)
        assert main([str(folder / "theirs"), "--out", str(folder / "run"), "--context-limit", "50"]) == 0
        run = load_run(folder / "run")
        assert run.opens_with_bos is opens
        assert run.special_tokens.bos == 1
        assert run.special_tokens.eos == 2
        assert run.model.context_limit == 50
        assert run.chat_template is not None
        assert run.chat_template.read_text() == "{{ messages }}"


def change(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_what_is_not_supported_is_refused_by_name(tmp_path, capsys):
    for fields, expected in [
        ({"model_type": "mamba"}, "config.json: model_type: 'mamba' is none of llama, mistral, qwen2, qwen3, gpt2"),
        ({"hidden_act": "gelu"}, "config.json: hidden_act: Input should be 'silu' ('gelu' given)"),
        ({"rope_parameters": {"rope_type": "dynamic"}}, "config.json: rope_parameters.rope_type: Input should be"),
        ({"logit_scale": 3.0}, "config.json: logit_scale: 3.0 given, which is not supported"),
        ({"sliding_window": 8}, "config.json: sliding_window: 8 tokens are attended to; give --context-limit"),
        ({"num_hidden_layers": 4}, "the tensor model.layers.3.input_layernorm.weight is missing"),
        ({"num_hidden_layers": 2}, "the tensor model.layers.2.input_layernorm.weight has no place"),
        ({"intermediate_size": 95}, "size mismatch for blocks.2.feed_forward.contract.weight"),
    ]:
        folder = tmp_path / "theirs"
        save(transformers.AutoModelForCausalLM.from_config(CAUSAL["llama"]), folder)
        change(folder, **fields)
        capsys.readouterr()
        assert main([str(folder), "--out", str(tmp_path / "run")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert expected in line
        assert not (tmp_path / "run").exists()


def test_files_that_are_missing_or_broken_are_told(tmp_path, capsys):
    folder = tmp_path / "theirs"
    assert main([str(folder), "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == f"training.pretrained: {folder}: neither a folder nor a .gguf file\n"
    save(transformers.AutoModelForCausalLM.from_config(CAUSAL["llama"]), folder)
    (folder / "model.safetensors").write_bytes(b"nothing")
    assert main([str(folder), "--out", str(tmp_path / "run")]) == 2
    assert "model.safetensors: not readable: " in capsys.readouterr().err
    (folder / "model.safetensors").unlink()
    assert main([str(folder), "--out", str(tmp_path / "run")]) == 2
    assert "holds no .safetensors file" in capsys.readouterr().err
