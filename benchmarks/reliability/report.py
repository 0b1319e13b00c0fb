"""What was found into docs/reliability.md: a table for every part, between the two comments that have its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.reliability.record import Record, read
from benchmarks.tables import replaced, table


def write_report(results: Path, page: Path) -> None:
    """Put every record of the folder `results` into the page; what was not measured stays as it is."""
    found = {file.stem: read(file) for file in sorted(results.glob("*.json"))}
    page.write_text(replaced(page.read_text(encoding="utf-8"), tables(found)), encoding="utf-8")


def tables(found: Mapping[str, Record]) -> dict[str, str]:
    """Return the text of every part."""
    return {name: _text(record) for name, record in found.items()}


def _text(record: Record) -> str:
    rows = [(_cell(one.promise), _cell(one.figure), "yes" if one.holds else "**no**") for one in record.claims]
    how = ", a quick run" if record.quick else ""
    where = f"Measured on {record.day}, {record.machine}, in {record.seconds:,.0f} s{how}."
    return f"{table(('promise', 'measured', 'holds'), rows)}\n\n{where}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
