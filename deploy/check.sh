#!/usr/bin/env bash
# Checks every file here that a tool can check. What comes from PyPI is in the development environment; dclint needs npm,
# docker-compose and promtool an installation of their own: without them their check is skipped, and says so.
set -euo pipefail
cd "$(dirname "$0")/.."

has() { command -v "$1" >/dev/null || { echo "skipped: $2 (no $1 here)" && false; }; }

echo "images: hadolint"
hadolint service/Dockerfile training/Dockerfile deploy/web/Dockerfile deploy/containers/*.Dockerfile

echo "compose: dclint, docker-compose config"
if has npm dclint; then
  npx --yes dclint@3.1.0 --max-warnings 0 -c deploy/compose/dclint.yaml docker-compose.yml deploy/compose
fi
if has docker-compose "docker-compose config"; then
  for override in docker-compose.yml deploy/compose/*.yml; do
    docker-compose -f docker-compose.yml -f "$override" config -q
  done
fi

echo "envoy, nginx, prometheus"
envoy --mode validate --log-level warn -c deploy/envoy/envoy.yaml
if has nginx "nginx -t"; then
  nginx -q -t -e stderr -c "$PWD/deploy/web/nginx.conf"
fi
if has promtool "promtool check config, promtool test rules"; then
  promtool check config deploy/prometheus/prometheus.yml
  promtool test rules deploy/prometheus/alerts_test.yml
fi

echo "kubernetes: kustomize, schemas"
bash deploy/kubernetes/check.sh
