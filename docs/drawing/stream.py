"""python -m docs.drawing.stream: record streams of a running server, and draw them as they came, as a moving picture.

Without a model what was recorded before is drawn anew. The picture is SVG whose letters appear by CSS: no script, and
all of it at once for who wants no motion. It runs at the speed of the recording, with a rest at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from docs.drawing.recording import Stream, read, record, write
from training.atomic import replacing

FOLDER = Path(__file__).parents[1]
PROMPTS = (
    "Why is the sky blue?",
    "Write a Python function that reverses a string.",
    "What is photosynthesis?",
    "What is gravity?",
)
_COLUMNS, _ROWS = 46, 11  # characters of a pane
_LETTER, _LINE, _MARGIN, _GAP = 8.4, 19.0, 22.0, 26.0
_REST = 3.0  # seconds that everything stands still at the end
_STYLE = """
svg { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
text { white-space: pre; fill: #e6edf3; }
.p { fill: #79c0ff; } .w { fill: #8b949e; font-size: 12px; }
.t, .b { animation-duration: DURATIONs; animation-iteration-count: infinite; }
.t { animation-timing-function: step-end; }
.b { fill: #3fb950; animation-timing-function: linear; animation-name: bar;
   transform-box: fill-box; transform-origin: left; }
@keyframes bar { 0% { transform: scaleX(0); } END% { transform: scaleX(1); } }
@media (prefers-reduced-motion: reduce) { .t, .b { animation: none; } }
"""


def main() -> None:
    """Record, if a model is named, and draw."""
    parser = argparse.ArgumentParser(prog="python -m docs.drawing.stream", description=__doc__)
    parser.add_argument("model", nargs="?", help="to record; without, the last recording is drawn")
    parser.add_argument("--address", default="localhost:50051", help="of the server [%(default)s]")
    parser.add_argument("--about", default="", help="what the picture says below: the model, the machine")
    parser.add_argument("--apart", type=float, default=0.8, help="seconds between requests [%(default)s]")
    parser.add_argument("--tokens", type=int, default=72, help="most tokens of a stream [%(default)s]")
    parser.add_argument("--out", type=Path, default=FOLDER, help="for stream.json and stream.svg [docs]")
    options = parser.parse_args()
    recording: Path = options.out / "stream.json"
    if options.model:
        streams = asyncio.run(record(options.address, options.model, PROMPTS, options.apart, options.tokens))
        write(streams, options.about or options.model, recording)
    about, streams = read(recording)
    with replacing(options.out / "stream.svg") as file:
        file.write(draw(streams, about).encode())
    print(f"{options.out / 'stream.svg'}: {sum(stream.tokens for stream in streams)} tokens")


def draw(streams: Sequence[Stream], about: str) -> str:
    """Return the picture of `streams`, two panes a line, each letter appearing when it came."""
    ended = max(piece.seconds for stream in streams for piece in stream.pieces)
    whole = ended + _REST
    pane_width, pane_height = _COLUMNS * _LETTER, (_ROWS + 1) * _LINE
    width = 2 * _MARGIN + 2 * pane_width + _GAP
    height = 2 * _MARGIN + (len(streams) + 1) // 2 * (pane_height + _GAP) + 12
    style = _STYLE.replace("DURATION", f"{whole:.2f}").replace("END", f"{100 * ended / whole:.2f}")
    names: dict[float, str] = {}
    panes: list[str] = []
    for number, stream in enumerate(streams):
        left = _MARGIN + number % 2 * (pane_width + _GAP)
        top = _MARGIN + number // 2 * (pane_height + _GAP) + _LINE / 2
        panes += _pane(stream, left, top, names)
    frames = "".join(
        f"@keyframes {name} {{ 0% {{ opacity: 0; }} {100 * seconds / whole:.2f}%, 100% {{ opacity: 1; }} }}\n"
        for seconds, name in names.items()
    )
    bottom = height - _MARGIN
    rate = sum(stream.tokens for stream in streams) / ended
    words = f"{about}: {len(streams)} streams, {rate:.0f} tokens/s together, at their real speed"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        f"<title>{escape(words)}</title>",
        f"<style>{style}{frames}</style>",
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="10" fill="#0d1117"/>',
        *panes,
        f'<rect class="b" x="{_MARGIN}" y="{bottom - 20:.0f}" width="{width - 2 * _MARGIN:.0f}" height="2"/>',
        f'<text class="w" x="{_MARGIN}" y="{bottom:.0f}">{escape(words)}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _pane(stream: Stream, left: float, top: float, names: dict[float, str]) -> Iterator[str]:
    """Give the letters of a stream, its prompt first; what comes at one moment shares the name of its animation."""
    arrivals = [(stream.began, f"{stream.prompt}\n\n"), *((piece.seconds, piece.text) for piece in stream.pieces)]
    places = wrapped("".join(text for _, text in arrivals), _COLUMNS)
    at = 0
    for number, (seconds, text) in enumerate(arrivals):
        name = names.setdefault(seconds, f"k{len(names)}")
        for row, column, run in _runs(text, places[at : at + len(text)]):
            if row < _ROWS and run.strip():
                x, y = left + column * _LETTER, top + row * _LINE
                size = f'textLength="{len(run) * _LETTER:.1f}" lengthAdjust="spacingAndGlyphs"'
                kind = "t" if number else "t p"
                where = f'style="animation-name:{name}" x="{x:.1f}" y="{y:.1f}" {size}'
                yield f'<text class="{kind}" {where}>{escape(run)}</text>'
        at += len(text)


def wrapped(text: str, columns: int) -> list[tuple[int, int]]:
    """Return row and column of every character of `text` in lines of `columns`, broken between words if possible."""
    places: list[tuple[int, int]] = []
    row = 0
    for line in text.splitlines(keepends=True):
        width = 0
        for word in re.findall(r" *[^ ]*", line):
            if width and width + len(word.rstrip("\n")) > columns:
                row, width = (
                    row + 1,
                    -(len(word) - len(word.lstrip(" "))),
                )  # spaces at a break stay outside, on the left
            for letter in word:
                if width == columns and letter != "\n":
                    row, width = row + 1, 0
                places.append((row, width))
                width += 1
        row += line.endswith("\n")
    return places


def _runs(text: str, places: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, str]]:
    """Give the stretches of `text` that lie side by side in one row."""
    start = 0
    for at in range(1, len(text) + 1):
        joined = at < len(text) and places[at] == (places[at - 1][0], places[at - 1][1] + 1)
        if not joined or text[at - 1] == "\n":
            run = text[start:at].rstrip("\n")
            if run:
                yield *places[start], run
            start = at


if __name__ == "__main__":
    main()
