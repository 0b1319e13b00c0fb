#!/usr/bin/env bash
# Builds the page into deploy/web/dist: `make web`. Packages are installed where the lock file has changed.
set -euo pipefail
cd "$(dirname "$0")"
node --eval 'const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) { console.error(`error: Node ${process.version}; needed: 20.19 or newer`); process.exit(1) }'
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
  npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
fi
npm run --silent build
