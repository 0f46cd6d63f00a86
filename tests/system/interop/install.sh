#!/usr/bin/env bash
# Installs the OAuth clients of the tests in the versions of requirements.txt and package-lock.json. Does nothing if
# they are installed.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)

"$root/scripts/need.sh" python3 node=nodejs npm
python3 -c 'import ensurepip, venv' 2>/dev/null || "$root/scripts/need.sh" ensurepip=python3-venv

venv=$root/.cache/interop/python
# Its programs name their interpreter by its path, so a repository that was moved needs a new environment.
wanted=$(echo "$venv"; python3 --version; cat python/requirements.txt)
if [ "$wanted" != "$(cat "$venv/.installed" 2>/dev/null || true)" ]; then
  echo "interop: installing the Python clients"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --requirement python/requirements.txt
  printf '%s\n' "$wanted" >"$venv/.installed"
fi

cd node
if ! cmp -s package-lock.json node_modules/.installed; then
  echo "interop: installing the Node clients"
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.installed
fi
