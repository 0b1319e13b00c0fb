"""Bundles of untrained models of any size, for figures in which only speed counts.

Written without the parity gate, which would take minutes at these sizes; the gate and its tests hold for the same
families at sizes that are trained. Nothing but benchmarks opens such a bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from bundle.folder import DATA, MANIFEST, STEP_GRAPH, TOKENIZER, digest
from bundle.manifest import Calls, FileEntry, Manifest, ParityReport, SpecialTokens, Training
from export.graph import export_step
from export.steady import block
from export.weights import write_graph
from training.models.families import FAMILIES

NAME = "model"
_TOP_K = 64


def prepare(models_folder: Path, family: str, config: Mapping[str, int]) -> Path:
    """Export the model of that family and config to `models_folder`, unless it is there; return the folder."""
    folder = models_folder / NAME / "1"
    if (folder / MANIFEST).exists():
        return models_folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = FAMILIES[family].build(config).eval()
    model.freeze()
    graph = export_step(model, _TOP_K)
    calls = Calls(chunk=model.chunk, block=block(graph))
    opset = next(entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx"))
    write_graph(graph, folder / STEP_GRAPH, folder / f"{STEP_GRAPH}{DATA}")
    _tokenizer(config["vocabulary_size"]).save(str(folder / TOKENIZER))
    files = {path.name: FileEntry(sha256=digest(path), bytes=path.stat().st_size) for path in folder.iterdir()}
    manifest = Manifest(
        name=NAME,
        version=1,
        family=family,
        vocabulary_size=model.vocabulary_size,
        source_vocabulary_size=None,
        special_tokens=SpecialTokens(pad=0, bos=1, eos=2),
        context_limit=model.context_limit,
        source_limit=None,
        top_k=_TOP_K,
        states=model.states,
        calls=calls,
        opset=opset,
        parity=ParityReport(checks=(), greedy_tokens_compared=0),
        training=Training(parameters=model.parameter_count, data="none: untrained weights"),
        files=files,
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return models_folder


def _tokenizer(size: int) -> Tokenizer:
    names = ["<pad>", "<bos>", "<eos>", *(f"t{number}" for number in range(3, size))]
    tokenizer = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<pad>", "<bos>", "<eos>"])
    return tokenizer
