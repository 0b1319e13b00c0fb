"""What models are asked and judged by: prompts of many lengths, held-out text, text for calibration.

All comes with Python itself: the language reference that `help()` shows, and the standard library's source. What is
held out shares no topic and no module with the text for calibration.
"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from pydoc_data.topics import topics

import tokenizers

# Held out: half prose, half code; as many windows as the scored tokens need.
WINDOW, WINDOWS = 512, 8
FIRST = WINDOW // 2  # of every window the second half is scored, as llama-perplexity does
_PROSE = ("objects", "execmodel", "import", "specialnames")
_CODE = ("textwrap", "heapq", "shlex")
_PROMPTS = ("formatstrings", "with", "class", "function", "try", "assignment", "comparisons")
_CALIBRATION_PROSE = ("exprlists", "lambda", "numbers", "slicings", "strings", "yield", "while", "for")
_CALIBRATION_CODE = ("json.decoder", "bisect", "queue", "sched", "colorsys", "fnmatch")
SHORTEST, LONGEST = 16, 200


def held_out_file(folder: Path) -> Path:
    """Return where `write` puts the held-out text."""
    return folder / "held-out.txt"


def calibration_file(folder: Path) -> Path:
    """Return where `write` puts the text to calibrate with."""
    return folder / "calibration.txt"


def pairs_file(folder: Path) -> Path:
    """Return where `write` puts sources and targets of random words, for the encoder-decoder with random weights."""
    return folder / "pairs.tsv"


def write(folder: Path) -> None:
    """Write all three into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    # About half of the windows are prose: a token is about four characters of it.
    prose = _topics(_PROSE)[: WINDOW * WINDOWS * 2]
    held_out_file(folder).write_text(prose + _sources(_CODE), encoding="utf-8")
    calibration = _topics(_CALIBRATION_PROSE) + _sources(_CALIBRATION_CODE)
    calibration_file(folder).write_text(calibration, encoding="utf-8")
    pairs_file(folder).write_text("".join(_random_pairs(400)), encoding="utf-8")


def windows(folder: Path, tokenizer: tokenizers.Tokenizer) -> list[list[int]]:
    """Return WINDOWS windows of WINDOW tokens, the beginning of the held-out text."""
    text = held_out_file(folder).read_text(encoding="utf-8")
    tokens = tokenizer.encode(text, add_special_tokens=False).ids
    assert len(tokens) >= WINDOW * WINDOWS, "the held-out text is too short"
    return [tokens[place : place + WINDOW] for place in range(0, WINDOW * WINDOWS, WINDOW)]


def prompts(tokenizer: tokenizers.Tokenizer, lengths: Sequence[int], seed: int) -> list[list[int]]:
    """Return a prompt of every length, cut from places of a text that depend on `seed`: no two runs ask the same."""
    tokens = tokenizer.encode(_topics(_PROMPTS), add_special_tokens=False).ids
    source = random.Random(seed)
    places = [source.randrange(len(tokens) - length) for length in lengths]
    return [tokens[place : place + length] for place, length in zip(places, lengths, strict=True)]


def spread(count: int) -> list[int]:
    """Return `count` lengths from SHORTEST to LONGEST, evenly spread; a single one lies in the middle."""
    if count == 1:
        return [(SHORTEST + LONGEST) // 2]
    return [SHORTEST + (LONGEST - SHORTEST) * number // (count - 1) for number in range(count)]


def _random_pairs(count: int) -> Iterator[str]:
    source = random.Random(0)
    for _ in range(count):
        halves = [" ".join(f"t{source.randrange(2, 31_999)}" for _ in range(source.randint(10, 40))) for _ in "ab"]
        yield "\t".join(halves) + "\n"


def _topics(names: Sequence[str]) -> str:
    return "\n\n".join(topics[name] for name in names)


def _sources(modules: Sequence[str]) -> str:
    paths = [importlib.util.find_spec(name) for name in modules]
    return "\n\n".join(Path(spec.origin).read_text(encoding="utf-8") for spec in paths if spec and spec.origin)
