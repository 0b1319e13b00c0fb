#!/usr/bin/env bash
# `make image`: builds the server's image, and prints how large it is and how fast it starts with a small bundle. Leaves
# the list of what is inside, a CycloneDX SBOM, in build/image/sbom.json.
. "$(dirname "$0")/engine.sh"
cd "$ROOT"
IMAGE=${IMAGE:-server} OUT=build/image
TAG=$([ "$IMAGE" = server-gpu ] && echo gpu || echo latest)
PATH=$ROOT/.venv/bin:$PATH
export OMP_NUM_THREADS=1

megabytes() { awk '{printf "%.0f MB", $1 / 1e6}'; }
compressed() { "$ENGINE" save "$1" 2>/dev/null | gzip -6 | wc -c; }

bundle() { # a GRU that has hardly learnt anything
  [ -d "$OUT/models/gru" ] && return
  python -m training gru --data LICENSE --vocabulary-size 512 --width 64 --steps 5 --threads 1 --out "$OUT/run" --overwrite
  python -m export "$OUT/run" --models "$OUT/models" --name gru
}

# Reads the metadata of the image's packages with tools that it does not have itself.
sbom() {
  local container packages
  rm -rf "$OUT/environment"
  python3 -m venv --without-pip "$OUT/environment"
  container=$("$ENGINE" create "seqstream-server:$TAG")
  packages=$(echo "$OUT"/environment/lib/python3*/site-packages)
  "$ENGINE" cp "$container:/opt/venv/lib" - | tar --extract --strip-components=3 --directory "$packages" --wildcards '*.dist-info'
  "$ENGINE" rm "$container" >/dev/null
  cyclonedx-py environment --output-reproducible --output-file "$OUT/sbom.json" "$OUT/environment/bin/python3"
  rm -rf "$OUT/environment"
}

bash deploy/containers/build.sh "$IMAGE"
mkdir -p "$OUT"
bundle >"$OUT/bundle.log" 2>&1 || { cat "$OUT/bundle.log" >&2; exit 1; }
sbom
base=$(compressed "$BASE_IMAGE") whole=$(compressed "seqstream-server:$TAG")
echo "image        seqstream-server:$TAG, on $BASE_IMAGE, by $("$ENGINE" --version)"
echo "compressed   $(echo "$whole" | megabytes), of it the base $(echo "$base" | megabytes)"
echo "uncompressed $("$ENGINE" image inspect --format '{{.Size}}' "seqstream-server:$TAG" | megabytes)"
if [ "$TAG" = latest ]; then
  echo "to SERVING   $(python deploy/containers/start.py "$ENGINE" seqstream-server:latest "$ROOT/$OUT/models")"
fi
echo "SBOM         $OUT/sbom.json, $(python -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["components"]))' "$OUT/sbom.json") packages"
