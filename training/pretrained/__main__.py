"""`python -m training.pretrained`: turn somebody else's checkpoint into a run, which export takes like any other."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from pathlib import Path
from typing import NoReturn

from bundle.folder import CHAT_TEMPLATE, SOURCE_TOKENIZER, TOKENIZER
from training.models.families import FAMILIES
from training.pretrained.checkpoint import Checkpoint, open_checkpoint
from training.pretrained.convert import Converted, convert
from training.run import CONFIG, RunConfig, open_folder, save_result, write_json

DESCRIPTION = """\
Turn a checkpoint (config.json, *.safetensors, tokenizer.json; or a .gguf file, with transformers, gguf and accelerate
installed) into a run folder. Architectures: Llama, Mistral, Qwen2, Qwen3, GPT-2, Marian. Whatever it does not support
is refused by name."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, or 2 for bad input."""
    parser = _Parser("python -m training.pretrained", description=DESCRIPTION,
                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a folder, or a .gguf file")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder to write")
    parser.add_argument(
        "--context-limit", type=int, metavar="N",
        help="most tokens a row may consume; every row of the server has memory for so many [the checkpoint's own]",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace the run that is in the folder")
    try:
        given = parser.parse_args(arguments)
        if given.context_limit is not None and given.context_limit < 2:
            raise ValueError(f"--context-limit: {given.context_limit} given, a number from 2 is allowed")
        with open_checkpoint(given.checkpoint) as checkpoint:
            converted = convert(checkpoint, given.context_limit)
            open_folder(given.out, overwrite=given.overwrite)
            _write(given.out, checkpoint, converted)
    except (ValueError, OSError) as error:
        print(f"training.pretrained: {error}", file=sys.stderr)
        return 2
    model = converted.model
    print(f"{given.out}: {converted.family}, {model.parameter_count:,} parameters, context {model.context_limit:,}")
    return 0


def _write(folder: Path, checkpoint: Checkpoint, converted: Converted) -> None:
    config = RunConfig(
        family=converted.family,
        model=converted.config,
        data={"checkpoint": checkpoint.path.name},
        train={},
        special_tokens=converted.special_tokens,
        opens_with_bos=converted.opens_with_bos,
    )
    shutil.copyfile(checkpoint.tokenizer, folder / TOKENIZER)
    if FAMILIES[converted.family].task == "pairs":
        shutil.copyfile(checkpoint.tokenizer, folder / SOURCE_TOKENIZER)
    if checkpoint.chat_template is not None:
        (folder / CHAT_TEMPLATE).write_text(checkpoint.chat_template, encoding="utf-8")
    digest = hashlib.sha256()
    for name in sorted(checkpoint.tensors):
        digest.update(checkpoint.tensors[name].numpy().tobytes())
    save_result(folder, converted.model, checkpoint.path.name, digest.hexdigest(), {})
    write_json(folder / CONFIG, config)  # last: a folder with it is a run


if __name__ == "__main__":
    sys.exit(main())
