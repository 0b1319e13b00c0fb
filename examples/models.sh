#!/usr/bin/env bash
# Trains the two models of the demo on data that every machine has, and exports them. What is exported already stays.
# RUNS and MODELS say where results go; the environment of the training holds as well (SEQSTREAM_STEPS=200, ...).
set -euo pipefail
cd "$(dirname "$0")/.."
RUNS=${RUNS:-runs/demo} MODELS=${MODELS:-models/demo} OF=${OF:-3}

say() { printf '\n\033[1;34m==> %s\033[0m\n' "$*"; }
show() { printf '\033[2m$ %s\033[0m\n' "$*"; "$@"; }
exported() { compgen -G "$MODELS/$1/*/bundle.json" >/dev/null && echo "$MODELS/$1 is there already"; }

mkdir -p "$RUNS" "$MODELS"

say "1/$OF  Train a GRU on the Python standard library's own source (about 2 minutes)"
exported stdlib ||
  show python -m training gru --data stdlib --width 256 --learning-rate 4e-3 --minutes 1.8 --out "$RUNS/stdlib" --overwrite

say "2/$OF  Train a Transformer encoder-decoder on dates in 15 languages (about 2 minutes)"
exported dates ||
  show python -m training transformer --pairs dates --width 96 --hidden 192 --minutes 2.2 --out "$RUNS/dates" --overwrite

say "3/$OF  Export both; a bundle is written only if ONNX Runtime agrees with PyTorch"
for model in stdlib dates; do
  exported "$model" || show python -m export "$RUNS/$model" --models "$MODELS" --with-attention
done
