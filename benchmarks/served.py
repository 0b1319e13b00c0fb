"""python -m benchmarks.served MODELS NAME: what serving costs a bundle, against the bare loop of its graph.

The figures are those of benchmarks/serving.py.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import uvloop

from benchmarks.serving import Extent, measure


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.served", description=__doc__)
    parser.add_argument("models", type=Path, help="folder of bundles")
    parser.add_argument("name", help="of the model")
    parser.add_argument("--streams", type=int, default=32, help="at once [%(default)s]")
    parser.add_argument("--threads", type=int, default=2, help="that compute [%(default)s]")
    parser.add_argument("--tokens", type=int, default=64, help="of every stream [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of runs [%(default)s]")
    parser.add_argument("--prompt", default="The quick brown fox", help="of every stream [%(default)s]")
    options = parser.parse_args()
    extent = Extent(options.tokens, options.rounds, options.prompt)
    print(json.dumps(measure(options.models, options.name, options.streams, options.threads, extent)), flush=True)


if __name__ == "__main__":
    uvloop.install()
    main()
