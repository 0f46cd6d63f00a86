#!/usr/bin/env bash
# Checks that the boards in the repository are what the generator writes, and that they keep the rules.
set -euo pipefail
cd "$(dirname "$0")/generate"
./install.sh

fresh=$(mktemp -d)
trap 'rm -r "$fresh"' EXIT
node main.mjs "$fresh"
if ! diff -r ../dashboards "$fresh"; then
  echo "grafana: the boards are not what the generator writes; make dashboards" >&2
  exit 1
fi
node lint/main.mjs ../dashboards
