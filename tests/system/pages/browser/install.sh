#!/usr/bin/env bash
# Installs Chromium from Debian, and Playwright and axe in the versions of package-lock.json. Does nothing if they are
# installed.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../../../.. && pwd)

"$root/scripts/need.sh" chromium node=nodejs npm
if ! cmp -s package-lock.json node_modules/.installed; then
  echo "browser: installing Playwright and axe"
  PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.installed
fi
