"""python -m docs.drawing: draw every diagram of docs/families.md anew, into docs/families/."""

from __future__ import annotations

import argparse
from pathlib import Path

from docs.drawing import attention, cells, memories

FOLDER = Path(__file__).parents[1] / "families"
PICTURES = {
    "past": memories.past,
    "naive": memories.naive,
    "ar": memories.ar,
    "markov": memories.markov,
    "ngram": memories.ngram,
    "latent": cells.latent,
    "rnn": cells.rnn,
    "lstm": cells.lstm,
    "gru": cells.gru,
    "gru-seq2seq": attention.gru_seq2seq,
    "transformer": attention.transformer,
    "transformer-lm": attention.transformer_lm,
}


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(prog="python -m docs.drawing", description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for the pictures [docs/families]")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        draw().save(out / f"{name}.svg")
        print(out / f"{name}.svg")


if __name__ == "__main__":
    main()
