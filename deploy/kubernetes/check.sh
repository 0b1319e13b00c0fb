#!/usr/bin/env bash
# Renders overlays and validates what comes out against the schemas of two versions of Kubernetes, unknown fields refused.
#
#     bash deploy/kubernetes/check.sh [FOLDER ...]        all of overlays/ where none is given
set -euo pipefail

here=$(dirname "$0")
rendered=$(mktemp)
trap 'rm -f "$rendered"' EXIT
if [ $# = 0 ]; then
  set -- "$here"/overlays/*/
fi
for folder in "$@"; do
  kubectl kustomize "$folder" >"$rendered"
  for version in 1.30 1.37; do # the first whose preStop can sleep, and the newest there are schemas of
    if ! kubernetes-validate --strict --quiet --kubernetes-version "$version" "$rendered" >&2; then
      echo "$folder: refused by Kubernetes $version" >&2
      exit 1
    fi
  done
  echo "$folder: $(grep -c '^kind:' "$rendered") objects"
done
