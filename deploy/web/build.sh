#!/usr/bin/env bash
# Builds the page into deploy/web/dist: `make web`. Packages are installed where the lock file has changed.
set -euo pipefail
cd "$(dirname "$0")"
node --eval 'const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) { console.error(`error: Node ${process.version}; needed: 20.19 or newer`); process.exit(1) }'
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
  # Programs just unpacked can be busy for a moment ("text file busy"): Node may close files after npm has ended
  # (https://github.com/nodejs/node/issues/48444).
  for _ in {1..40}; do
    node_modules/.bin/buf --version >/dev/null 2>&1 && node_modules/.bin/tsc --version >/dev/null 2>&1 && break
    sleep 0.5
  done
fi
npm run --silent build
