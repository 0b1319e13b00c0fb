"""The parity report on screen: one line for each check, how far off it was and how far it may be."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from bundle.folder import Bundle
from bundle.manifest import ParityCheck


def show(bundle: Bundle, console: Console) -> None:
    """Print the parity report of `bundle`, its files, and where it lies (last, and alone on its line)."""
    manifest = bundle.manifest
    table = Table(title=f"{bundle.reference}: {manifest.family}, {manifest.training.parameters:,} parameters")
    table.add_column("check")
    table.add_column("largest error", justify="right")
    table.add_column("tolerance", justify="right")
    table.add_column("shapes (batch x length)")
    for check in manifest.parity.checks:
        table.add_row(_name(check, bundle), _number(check.largest_error), _number(check.tolerance), _shapes(check))
    console.print(table)
    compared = manifest.parity.greedy_tokens_compared
    console.print(f"{compared} greedy tokens compared; 0 means that every bit is the same")
    if (loss := manifest.loss) is not None:
        cache = f", {manifest.cache} caches" if manifest.cache != "float" else ""
        console.print(
            f"{manifest.precision}{cache}: {loss.metric} {loss.this:.3f} on {loss.tokens:,} tokens of {loss.text}, "
            f"fp32 {loss.fp32:.3f}: {loss.loss:+.2%}"
        )
    sizes = ", ".join(f"{name} {entry.bytes:,} bytes" for name, entry in manifest.files.items())
    console.print(f"opset {manifest.opset}; {sizes}")
    console.print(str(bundle.path), soft_wrap=True)


def _name(check: ParityCheck, bundle: Bundle) -> str:
    mixed = bundle.manifest.loss is not None
    cache = f", {check.cache} caches" if check.cache != "float" else ""
    return f"{check.name} ({check.precision}{cache})" if mixed else check.name


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.0e}"


def _shapes(check: ParityCheck) -> str:
    shapes = check.shapes
    return ", ".join(shapes) if len(shapes) <= 2 else f"{len(shapes)}: {shapes[0]} … {shapes[-1]}"
