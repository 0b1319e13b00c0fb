#!/usr/bin/env bash
# Whether the protocol still is what clients of before were made for: the .proto files against those of the last release,
# or of main where nothing was released yet. What may change and what not is in docs/compatibility.md.
set -euo pipefail
cd "$(dirname "$0")/.."

since=$(git describe --tags --abbrev=0 2>/dev/null || git rev-parse --verify --quiet main || git rev-parse --verify --quiet origin/main || true)
if [ -z "$since" ]; then
  echo "skipped: buf breaking (neither a release nor main here to compare with)"
  exit 0
fi
old=$(mktemp -d)
trap 'rm -rf "$old"' EXIT
git archive "$since" protos | tar -x -C "$old"
rm -f "$old/protos/buf.yaml"
cp buf.yaml "$old"
buf breaking --against "$old"
