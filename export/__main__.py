"""`python -m export`: make a bundle of a trained model, verify it and write it.

Knows nothing about how; it turns a command line into calls and failures into one line and an exit status.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from pathlib import Path
from typing import NoReturn, get_args

from pydantic import ValidationError
from rich.console import Console

from bundle.folder import Bundle
from bundle.manifest import CacheName, PrecisionName
from export.quantize.precision import FOR_TOKENS, HALF, MAX_LOSS, Precision, Prompts
from export.refusal import Refusal
from export.report import show
from export.subject import Builder, Subject, from_builder, from_run
from export.write import Target, next_version, write_bundle

DESCRIPTION = """\
Make a bundle of a trained model: ONNX graphs, tokenizer and manifest, in
models/NAME/VERSION. Before it is written the bundle is measured against the
model and against itself (one call, pieces, token by token, padded, alone, in a
crowd); if any check fails, nothing is written."""

EXAMPLES = """\
examples:
  python -m export runs/mine --models models/
  python -m export my_package.my_module:build --checkpoint weights.pt \\
      --tokenizer tokenizer.json --name mine

exit codes: 0 written, 1 refused by a check, 2 bad input, 130 interrupted"""

REFUSED, BAD_INPUT, INTERRUPTED = 1, 2, 130
_FUNCTION = re.compile(r"[\w.]+:\w+")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    try:
        options = _parser().parse_args(arguments)
        subject = _subject(options)
        name = options.name or Path(options.subject).resolve().name
        version = options.version if options.version is not None else next_version(options.models, name)
        target, precision = Target(options.models, name, version), _precision(options, subject)
        bundle = _write(subject, target, precision, options.threads, views=options.with_attention)
    except Refusal as refusal:
        return _fail(f"refused, nothing written: {refusal}", REFUSED)
    except ValidationError as error:  # of the manifest: the name, a state, a special token
        first = error.errors()[0]
        return _fail(f"{'.'.join(map(str, first['loc']))}: {first['msg']} ({first['input']!r} given)", BAD_INPUT)
    except (ValueError, OSError) as error:
        return _fail(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return _fail("interrupted, nothing written", INTERRUPTED)
    show(bundle, Console())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser("python -m export", description=DESCRIPTION, epilog=EXAMPLES,
                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument(
        "subject", metavar="RUN|MODULE:FUNCTION", help="a run folder, or a function that builds a model"
    )
    target = parser.add_argument_group("where it goes")
    target.add_argument("--models", type=Path, default=Path("models"), metavar="DIR", help="folder of models [models]")
    target.add_argument("--name", help="of the model [name of the run folder]")
    target.add_argument("--version", type=_positive, metavar="N", help="of the model [next free]")
    own = parser.add_argument_group("with MODULE:FUNCTION")
    own.add_argument("--checkpoint", type=Path, metavar="FILE", help="state dict, saved with torch.save")
    own.add_argument("--tokenizer", type=Path, metavar="FILE", help="in the format of the tokenizers library")
    own.add_argument("--source-tokenizer", type=Path, metavar="FILE", help="of the encoder, if there is one")
    for role in ("pad", "bos", "eos"):
        own.add_argument(f"--{role}", metavar="TOKEN", help=f"name of that token in the tokenizer [<{role}>]")
    _add_precision(parser)
    parser.add_argument("--with-attention", action="store_true",
                        help="let the server show attention maps, gates and states as well: one graph more, as large "
                        "as the model in float32")  # fmt: skip
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="for the checks [all cores]")
    return parser


def _add_precision(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("precision")
    group.add_argument("--precision", choices=get_args(PrecisionName), default="fp32",
                       help="fp32 [default]; w8a8: weights and values in 8 bits; int8: weights in 8 bits; int4: in 4, "
                       "which usually needs a higher --max-loss; fp16: for GPUs")  # fmt: skip
    group.add_argument("--cache", choices=get_args(CacheName), default="float",
                       help="keys and values that attention keeps: float: as they are computed [default]; int8: in 8 "
                       "bits, a quarter of the memory: faster steps of many rows, slower prompts")  # fmt: skip
    group.add_argument("--prompts", choices=get_args(Prompts), default="same",
                       help="with int8 and int4: how prompts are computed: as tokens are [default], or in w8a8, in "
                       "about two thirds of the time, with weights of their own: one more byte for each")  # fmt: skip
    group.add_argument("--calibration", type=Path, metavar="FILE", help="text to calibrate with and, other parts of "
                       "it, to measure the loss on; source<TAB>target lines for a model with a source "
                       "[held-out text in the run folder]")  # fmt: skip
    group.add_argument("--max-loss", type=_share, metavar="SHARE", default=MAX_LOSS,
                       help="most that perplexity may grow; above it nothing is written [0.01]")  # fmt: skip


def _precision(options: argparse.Namespace, subject: Subject) -> Precision:
    text = options.calibration or subject.text
    asked = Precision(options.precision, options.max_loss, text, options.cache, options.prompts)
    if not str(asked) and options.calibration is not None:
        raise ValueError("--calibration: fp32 needs none; only with another --precision or --cache")
    if asked.name == HALF and asked.cache != "float":
        raise ValueError(f"{asked}: attention in half precision has no such cache")
    if asked.prompts != "same" and asked.name not in FOR_TOKENS:
        raise ValueError(f"--prompts {asked.prompts}: only with --precision {' or '.join(FOR_TOKENS)}")
    if str(asked) and asked.text is None:
        raise ValueError(f"{asked}: needs text to measure its loss on; give a file with --calibration")
    if asked.text is not None and not asked.text.is_file():
        raise ValueError(f"--calibration: {asked.text}: no such file")
    return asked


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} given, a share from 0 is allowed, such as 0.01")
    return share


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} given, a whole number from 1 is allowed")
    return int(text)


def _subject(options: argparse.Namespace) -> Subject:
    function: str = options.subject
    if Path(function).is_dir() or not _FUNCTION.fullmatch(function):
        given = [flag for flag in ("checkpoint", "tokenizer", "source_tokenizer", "pad", "bos", "eos")
                 if getattr(options, flag) is not None]  # fmt: skip
        if given:
            raise ValueError(f"--{given[0].replace('_', '-')}: a run folder has its own; only with MODULE:FUNCTION")
        return from_run(Path(function))
    for flag in ("checkpoint", "tokenizer", "name"):
        if getattr(options, flag) is None:
            raise ValueError(f"--{flag}: is needed with {function}")
    special = (options.pad or "<pad>", options.bos or "<bos>", options.eos or "<eos>")
    return from_builder(Builder(function, options.checkpoint, options.tokenizer, options.source_tokenizer, special))


def _write(subject: Subject, target: Target, precision: Precision, threads: int, *, views: bool) -> Bundle:
    console = Console(stderr=True)
    with console.status(f"exporting and verifying {target.name}@{target.version}: seconds to a minute"):
        return write_bundle(subject, target, threads, precision, views=views)


def _fail(message: str, status: int) -> int:
    print(f"export: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
