"""Formulas in LaTeX, as the forge draws them too, become MathML when the site is built: no script and no network."""

from __future__ import annotations

import re
from html import unescape

from latex2mathml.converter import convert

_MARKED = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def drawn(html: str) -> str:
    """Replace what the extension arithmatex marked as a formula in a page's HTML by MathML.

    Raises ValueError for a formula that could be drawn in parts only.
    """
    return _MARKED.sub(_mathml, html)


def _mathml(marked: re.Match[str]) -> str:
    kind, latex = marked.groups()
    made = convert(unescape(latex).strip(), display="block" if kind == "div" else "inline")
    # What is not understood is passed on as it is: "&" of an unknown environment, commands with their backslash.
    if "<mi>&</mi>" in made or "\\" in made:
        raise ValueError(f"this formula cannot be drawn: {latex.strip()}")
    return made
