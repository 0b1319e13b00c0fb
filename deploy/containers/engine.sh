# Sourced by the scripts of this folder: chooses the container engine and prepares it.
#
# ENGINE      docker where a Docker engine answers, else podman (root; installed by apt-get where it is missing).
# BASE_IMAGE  python:3.11-slim with docker; with podman, which may have no hub to pull from, a Debian with Python 3.11
#             made by mmdebstrap.
# SEQSTREAM_CONTAINERS  where podman keeps images, and where what was downloaded is kept between runs.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
STORE=${SEQSTREAM_CONTAINERS:-/var/tmp/seqstream-containers}
CACHE=$STORE/cache

prepare_podman() {
  local packages=(podman runc netavark aardvark-dns iptables mmdebstrap) missing=()
  for package in "${packages[@]}"; do
    dpkg-query --show "$package" >/dev/null 2>&1 || missing+=("$package")
  done
  if ((${#missing[@]})); then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
      echo "error: ${missing[*]} not installed, and only root on Debian can install them here" >&2
      return 1
    fi
    apt-get update --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends "${missing[@]}"
  fi
  configure_podman
}

# A store of our own, so that nothing of the machine's containers is touched. Limits no higher than ours, since raising
# them takes a capability that a container running this may lack; runc, since crun refuses mixed cgroups.
configure_podman() {
  local files processes
  files=$(ulimit -Hn) processes=$(ulimit -Hu)
  [ "$files" = unlimited ] || [ "$files" -gt 16384 ] && files=16384
  [ "$processes" = unlimited ] || [ "$processes" -gt 16384 ] && processes=16384
  mkdir -p "$STORE/networks" "$CACHE"
  cat >"$STORE/storage.conf" <<END
[storage]
driver = "overlay"
runroot = "$STORE/run"
graphroot = "$STORE/storage"
END
  cat >"$STORE/containers.conf" <<END
[containers]
default_ulimits = ["nofile=$files:$files", "nproc=$processes:$processes"]
[engine]
runtime = "runc"
tmp_dir = "$STORE/tmp"
[network]
network_backend = "netavark"
network_config_dir = "$STORE/networks"
END
  export CONTAINERS_STORAGE_CONF=$STORE/storage.conf CONTAINERS_CONF=$STORE/containers.conf
}

make_base() {
  podman image exists "$BASE_IMAGE" && return
  local leave_out=() folder
  for folder in man doc locale; do leave_out+=(--dpkgopt="path-exclude=/usr/share/$folder/*"); done
  if [ ! -f "$CACHE/base.tar" ]; then
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-venv "${leave_out[@]}" \
      bookworm "$CACHE/base.part.tar"
    mv "$CACHE/base.part.tar" "$CACHE/base.tar"
  fi
  podman import --quiet "$CACHE/base.tar" "$BASE_IMAGE" >/dev/null
}

# Prints the options that let pip inside of a build see what pip outside is told: its settings, and the certificates and
# local folders that they name (of a local index, the folder around it).
pip_mounts() {
  local path
  python3 -m pip config list 2>/dev/null |
    awk -F= -v quote="'" '{key = $1; sub(/.*\./, "", key); value = substr($0, length($1) + 2); gsub(quote, "", value)
      if (!seen[key]++) print key " = " value}' | sed '1i [global]' >"$STORE/pip.conf"
  printf '%s\n' "--volume=$STORE/pip.conf:/etc/pip.conf:ro"
  for path in $(grep -oE '(file://)?/[^ ]+' "$STORE/pip.conf" | sed 's#^file://\(.*\)/simple$#\1#' | sort -u); do
    [ -e "$path" ] && printf '%s\n' "--volume=$path:$path:ro"
  done
}

# The same for npm: what `npm config` tells of its registry, and the certificates that it trusts.
npm_mounts() {
  local registry certificates
  registry=$(npm config get registry 2>/dev/null || true)
  certificates=$(npm config get cafile 2>/dev/null || true)
  {
    [[ $registry == http* ]] && echo "registry=$registry"
    [ -f "$certificates" ] && echo "cafile=/etc/npm-certificates.pem"
  } >"$STORE/npmrc" || true
  printf '%s\n' "--volume=$STORE/npmrc:/root/.npmrc:ro"
  if [ -f "$certificates" ]; then printf '%s\n' "--volume=$certificates:/etc/npm-certificates.pem:ro"; fi
}

# build TAG DOCKERFILE CONTEXT [OPTION...]
build() {
  local tag=$1 file=$2 context=$3 mounts=()
  shift 3
  if [ "$ENGINE" = podman ]; then
    mapfile -t mounts < <(pip_mounts)
    mounts+=(--format=docker --network=host)
  fi
  "$ENGINE" build --quiet "${mounts[@]}" --build-arg BASE_IMAGE="$BASE_IMAGE" --tag "$tag" --file "$file" "$@" "$context"
}

if [ -z "${ENGINE:-}" ]; then
  if docker info >/dev/null 2>&1; then ENGINE=docker; else ENGINE=podman; fi
fi
if [ "$ENGINE" = podman ]; then
  prepare_podman
  if [ -z "${BASE_IMAGE:-}" ]; then
    BASE_IMAGE=localhost/python:3.11-slim
    make_base
  fi
else
  BASE_IMAGE=${BASE_IMAGE:-python:3.11-slim}
fi
