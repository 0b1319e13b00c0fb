#!/usr/bin/env bash
# Makes the lock files of the images anew: every package with its version and the hashes of its files. `make lock`.
# Versions that are locked stay as they are unless asked otherwise: `bash deploy/containers/lock.sh --upgrade`.
#
# Left out: huggingface-hub and all it brings, which `tokenizers` imports only to download; and PyTorch, whose build
# (CPU or CUDA) is chosen where the training image is built.
set -euo pipefail
cd "$(dirname "$0")/../.."
UV=${UV:-.venv/bin/uv}

lock() { # OUT ARGUMENT...
  local out=$1
  shift
  "$UV" pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" \
    --excludes <(printf 'huggingface-hub\ntorch\n') --output-file "$out" "$@"
  echo "$out: $(grep -c '==' "$out") packages"
}

lock service/requirements-cpu.txt --extra cpu --extra traces pyproject.toml "$@"
lock service/requirements-gpu.txt --extra gpu --extra traces --constraint service/requirements-cpu.txt pyproject.toml "$@"
lock service/requirements-build.txt --constraint service/requirements-cpu.txt <(echo 'grpcio-tools>=1.85,<2') "$@"
lock training/requirements.txt --extra cpu --extra train --extra export --constraint service/requirements-cpu.txt \
  pyproject.toml "$@"
