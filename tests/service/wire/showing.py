"""Callers: what they show, and what the server keeps of it."""

from pathlib import Path

from service.callers import watched_callers
from service.token import digest, token_id
from service.wire.access import Access

Shown = tuple[tuple[str, str], ...]


def entry(token: str, **fields: str) -> str:
    """The entry of a token in the file of callers; fields are TOML."""
    lines = [f'id = "{token_id(token)}"', f'sha256 = "{digest(token)}"']
    return "\n".join(["[[token]]", *lines, *(f"{key} = {value}" for key, value in fields.items())]) + "\n"


def bearer(token: str, *others: tuple[str, str]) -> Shown:
    return (("authorization", f"Bearer {token}"), *others)


def access(file: Path) -> Access:
    return Access(watched_callers(file))


def rewrite(file: Path, text: str | None) -> None:
    """Replace what is in a file; None removes it."""
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
