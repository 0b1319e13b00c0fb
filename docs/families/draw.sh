#!/usr/bin/env bash
# Draws what models look at and keep (docs/families/*.png): trains small ones, exports them with their views, serves them
# and asks. RUNS and MODELS say where they go; what is trained or exported already stays. About 8 minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
RUNS=${RUNS:-runs/views} MODELS=${MODELS:-models/views} OUT=${OUT:-docs/families}
TEXT=$'def close(self):\n    if self.file is None:\n        return'
mkdir -p "$RUNS" "$OUT"

trained() { test -f "$RUNS/$1/summary.json"; }
train() { # name, family, then flags
  trained "$1" || python -m training "$2" --out "$RUNS/$1" --overwrite "${@:3}"
}

train dates transformer --pairs dates --width 96 --hidden 192 --minutes 2.2
train gru-seq2seq gru-seq2seq --pairs dates --width 96 --minutes 1.5
train rnn rnn --data stdlib --tokenizer characters --width 128 --minutes 0.7
train lstm lstm --data stdlib --tokenizer characters --width 128 --minutes 0.7
train gru gru --data stdlib --tokenizer characters --width 128 --minutes 0.7
train transformer-lm transformer-lm --data stdlib --width 128 --layers 2 --minutes 1.5
for model in dates gru-seq2seq rnn lstm gru transformer-lm; do
  test -f "$MODELS/$model/1/bundle.json" ||
    python -m export "$RUNS/$model" --models "$MODELS" --name "$model" --version 1 --with-attention
done

rm -f "$RUNS/server.log" && touch "$RUNS/server.log" # that of an earlier server tells another port
python -m service --models "$MODELS" --port 0 >"$RUNS/server.log" 2>&1 &
SERVER=$!
trap 'kill "$SERVER" 2>/dev/null || true' EXIT
until ADDRESS=$(grep -oE '127\.0\.0\.1:[0-9]+' "$RUNS/server.log"); do
  kill -0 "$SERVER" 2>/dev/null || { cat "$RUNS/server.log"; exit 1; }
  sleep 0.1
done

attend() { python -m service.client attend "$@" --address "$ADDRESS"; }
inspect() { python -m service.client inspect "$@" --address "$ADDRESS"; }
attend dates "mardi 29 février 2028" --kind cross --mean --png "$OUT/cross-attention.png"
attend dates "2026년 11월 22일 일요일" --kind cross --layer 1 --png "$OUT/cross-attention-heads.png"
attend dates "mardi 29 février 2028" --kind encoder_self --layer 0 --png "$OUT/encoder-self-attention.png"
attend gru-seq2seq "mardi 29 février 2028" --png "$OUT/gru-seq2seq-attention.png"
attend transformer-lm "$TEXT" --png "$OUT/self-attention-heads.png"
inspect rnn "$TEXT" --units 32 --png "$OUT/rnn-states.png"
inspect lstm "$TEXT" --units 24 --name input_gate --name forget_gate --name output_gate --name cell --png "$OUT/lstm-gates.png"
inspect gru "$TEXT" --units 24 --name reset_gate --name update_gate --name hidden --png "$OUT/gru-gates.png"
