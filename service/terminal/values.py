"""Values of flags, for argparse: each returns what is meant, or raises argparse.ArgumentTypeError."""

from __future__ import annotations

import argparse
import math
import ssl
from pathlib import Path


def file(text: str) -> Path:
    """A file that can be read."""
    try:
        Path(text).open("rb").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.strerror}") from None
    return Path(text)


def source(text: str) -> Path:
    """A file that can be read, or "-"."""
    return Path(text) if text == "-" else file(text)


def certificate(text: str) -> Path:
    """A file of certificates in PEM."""
    path = file(text)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise argparse.ArgumentTypeError(f"{text}: no certificate in PEM") from None
    return path


def seconds(text: str) -> float:
    """A time of 0 or more."""
    return _number(text, 0.0)


def positive(text: str) -> float:
    """A number over 0."""
    number = _number(text, 0.0)
    if number == 0.0:
        raise argparse.ArgumentTypeError(f"{text}; allowed: over 0")
    return number


def index(text: str) -> int:
    """A whole number, 0 or more."""
    return 0 if text == "0" else count(text, "0 or more")


def count(text: str, allowed: str = "1 or more") -> int:
    """A whole number, 1 or more."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}; allowed: a whole number, {allowed}")
    return int(text)


def positives(text: str) -> list[float]:
    """Numbers over 0, with commas between them."""
    return [positive(part) for part in text.split(",")]


def counts(text: str) -> list[int]:
    """Whole numbers of 1 or more, with commas between them."""
    return [count(part) for part in text.split(",")]


def _number(text: str, least: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= least):
        raise argparse.ArgumentTypeError(f"{text}; allowed: a number, {least:g} or more")
    return number
