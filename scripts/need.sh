#!/usr/bin/env bash
# Checks that programs are there, and installs what is missing from Debian's packages.
#
#   scripts/need.sh PROGRAM[=PACKAGE] …
#
# PACKAGE is the Debian package that has the program, where its name is another one.
set -euo pipefail

missing=()
for want in "$@"; do
  program=${want%%=*}
  package=${want#*=}
  if ! command -v "$program" >/dev/null 2>&1; then
    echo "need: $program is missing; it is in the package $package"
    missing+=("$package")
  fi
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "need: this is no Debian; install ${missing[*]} by hand, then run this again" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
fi
echo "need: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
