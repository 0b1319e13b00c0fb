"""python -m benchmarks.beside CHECKOUT: this server beside that of another checkout, such as the one before a change.

    git worktree add ../before HEAD~1 && (cd ../before && PYTHONPATH=. python -m protos)
    python -m benchmarks.beside ../before 32 128 --flags="--traces-endpoint http://127.0.0.1:4317"

A Markov model, which costs nothing, one token a message, and a client that parses nothing (benchmarks/ceiling.py). Runs
alternate; figures are medians, and the ratio is the median of that of neighbouring runs, with the middle half of them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
from pathlib import Path
from statistics import median, quantiles

from benchmarks.ceiling import MODEL, Sent, send, write_call
from benchmarks.models import prepare
from benchmarks.server import serving

_TOKENS, _EVENTS = 384, 386  # a stream's start and end are messages, too


def measure(models: Path, checkout: Path, streams: int, rounds: int, flags: tuple[str, ...]) -> list[tuple[Sent, Sent]]:
    """Return what our server, with `flags`, and that of `checkout`, without, sent in turn."""
    found = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        call, _ = write_call(folder, MODEL, _TOKENS)
        both = ("--threads", "1", "--rows", str(max(streams, 32)))
        ours = stack.enter_context(serving(models, *both, *flags))
        theirs = stack.enter_context(serving(models, *both, checkout=checkout))
        for number in range(1 + rounds):
            first, second = (ours, theirs) if number % 2 else (theirs, ours)
            sent = {id(one): send(one, call, streams, _EVENTS) for one in (first, second)}
            found.append((sent[id(ours)], sent[id(theirs)]))
    return found[1:]  # the first round warms both up


def compare(pairs: list[tuple[Sent, Sent]]) -> dict[str, object]:
    """Return the figures."""
    ratios = [ours.messages / theirs.messages for ours, theirs in pairs]
    lower, _, upper = quantiles(ratios)
    return {
        "messages_per_second": round(median(ours.messages for ours, _ in pairs)),
        "beside_messages_per_second": round(median(theirs.messages for _, theirs in pairs)),
        "ratio": round(median(ratios), 4),
        "middle_half": [round(lower, 4), round(upper, 4)],
        "cpu_microseconds_per_message": round(median(ours.cpu for ours, _ in pairs), 2),
        "beside_cpu_microseconds_per_message": round(median(theirs.cpu for _, theirs in pairs), 2),
    }


def main() -> None:
    """Print the figures of every number of streams, one line of JSON each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=__doc__)
    parser.add_argument("checkout", type=Path, help="folder of the other seqstream, its protos generated")
    parser.add_argument("streams", nargs="*", type=int, default=[32, 128], help="how many at a time")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks"), help="for the models [%(default)s]")
    parser.add_argument("--rounds", type=int, default=8, help="pairs of runs [%(default)s]")
    parser.add_argument("--flags", default="", help="of this server alone")
    options = parser.parse_args()
    models = prepare(options.folder, (MODEL,))
    for streams in options.streams:
        pairs = measure(models, options.checkout, streams, options.rounds, tuple(options.flags.split()))
        print(json.dumps({"streams": streams, **compare(pairs)}), flush=True)


if __name__ == "__main__":
    main()
