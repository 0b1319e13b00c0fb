"""A GGUF file as the folder that the transformers library saves, in float32: what every peer's converter starts from.

python -m benchmarks.peers.systems.checkpoint FILE.gguf FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(source: Path, folder: Path) -> None:
    """Read, dequantise, save."""
    read = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    # A model that was read from GGUF counts as quantised and is not saved; a fresh one with its weights is.
    fields = {name: value for name, value in read.config.to_dict().items() if name != "quantization_config"}
    fresh = type(read)(type(read.config)(**fields))
    fresh.load_state_dict(read.state_dict())
    fresh.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
