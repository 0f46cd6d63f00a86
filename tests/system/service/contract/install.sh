#!/usr/bin/env bash
# Installs schemathesis in the version of requirements.txt. Does nothing if it is installed.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../../.. && pwd)

"$root/scripts/need.sh" python3
python3 -c 'import ensurepip, venv' 2>/dev/null || "$root/scripts/need.sh" ensurepip=python3-venv

venv=$root/.cache/contract
# Its programs name their interpreter by its path, so a repository that was moved needs a new environment.
wanted=$(echo "$venv"; python3 --version; cat requirements.txt)
if [ "$wanted" != "$(cat "$venv/.installed" 2>/dev/null || true)" ]; then
  echo "contract: installing schemathesis"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --requirement requirements.txt
  printf '%s\n' "$wanted" >"$venv/.installed"
fi
