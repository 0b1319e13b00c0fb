"""What stands in the cells of tables: figures as people read them, and a dash where nothing was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.peers.results import Figures

Found = Mapping[str, Mapping[str, Figures]]
_NOTHING = "–"


def value_of(found: Found, case: str, name: str, figure: str) -> float | None:
    """Return a figure of a system in a case, None where there is none."""
    value = found.get(case, {}).get(name, {}).get(figure)
    return None if value is None else float(value)


def show(value: float | None, form: Callable[[float], str]) -> str:
    """Return `form` of a value, a dash where there is none."""
    return _NOTHING if value is None else form(value)


def number(value: float) -> str:
    """Return a rate."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds."""
    return f"{1e3 * seconds:,.0f} ms" if seconds >= 0.01 else f"{1e3 * seconds:.1f} ms"


def megabytes(size: float) -> str:
    """Return bytes as megabytes."""
    return f"{size / 1e6:,.0f} MB"


def percent(share: float) -> str:
    """Return a share with its sign."""
    return f"{100 * share:+.1f} %"
