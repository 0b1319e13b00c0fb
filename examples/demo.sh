#!/usr/bin/env bash
# The whole path on data that every machine has: train, export, serve, stream. Run it with `make demo`.
# Every command here is one that you would type; RUNS and MODELS say where results go.
set -euo pipefail
cd "$(dirname "$0")/.."
RUNS=${RUNS:-runs/demo} MODELS=${MODELS:-models/demo} LOG=${RUNS:-runs/demo}/server.log

say() { printf '\n\033[1;34m==> %s\033[0m\n' "$*"; }

rm -rf "$MODELS" && mkdir -p "$RUNS"

# Steps 1 to 3: train both, export both.
RUNS=$RUNS MODELS=$MODELS OF=5 bash examples/models.sh

say "4/5  Serve them"
printf '\033[2m$ python -m service --models %s --port 0\033[0m\n' "$MODELS"
rm -f "$LOG"  # of the server of before: its port would be read
python -m service --models "$MODELS" --port 0 >"$LOG" 2>&1 &
SERVER=$!
trap 'kill "$SERVER" 2>/dev/null || true' EXIT
until ADDRESS=$(grep -soE '127\.0\.0\.1:[0-9]+' "$LOG"); do
  kill -0 "$SERVER" 2>/dev/null || { cat "$LOG"; exit 1; }
  sleep 0.1
done
cat "$LOG"

say "5/5  Stream from them, token by token"
prompt=$'class Queue:\n    def '
printf '\033[2m%s\033[0m' "$prompt"
seqstream generate stdlib "$prompt" --address "$ADDRESS" --temperature 0.6 --seed 7 --max-new-tokens 120
echo
while IFS= read -r date; do
  printf '%s -> ' "$date"
  seqstream generate dates "$date" --address "$ADDRESS" --temperature 0 2>/dev/null
done <examples/dates.txt

trap - EXIT
kill -TERM "$SERVER"
wait "$SERVER"
echo "server drained and ended with exit code 0"
printf '\nHeld-out dates turned into exactly the right ISO date: '
python -c 'import json, sys; print("{:.1%}".format(json.load(open(sys.argv[1]))["metrics"]["exact_match"]))' "$RUNS/dates/summary.json"
