#!/usr/bin/env bash
# Installs the generator's packages in the versions of the lock file. Does nothing if they are installed.
set -euo pipefail
cd "$(dirname "$0")"
if ! cmp -s package-lock.json node_modules/.installed; then
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.installed
fi
