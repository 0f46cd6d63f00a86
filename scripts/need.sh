#!/usr/bin/env bash
# Checks that programs are installed, and installs missing ones from Debian's packages. Services in these packages
# (Redis, Prometheus) are not started, now or at the next boot: the tests start their own.
#
#   scripts/need.sh PROGRAM[=PACKAGE] …
#
# PACKAGE is the Debian package with the program, if its name differs.
set -euo pipefail

# The directory of servers (nginx), which is not in the PATH of every user.
PATH=$PATH:/usr/sbin:/sbin

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
  echo "need: this is not Debian; install ${missing[*]} by hand, then run this again" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
fi

# Debian's packages ask this file whether to start what they install; 101 means no. An existing file is kept.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '"${as_root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
fi

echo "need: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"

# The file has no effect at the next boot.
if [ -d /run/systemd/system ]; then
  dpkg -L "${missing[@]}" | sed -n 's,^\(/usr\)\?/lib/systemd/system/\([^@/]*\.service\)$,\2,p' |
    while read -r unit; do "${as_root[@]}" systemctl disable --quiet "$unit" || true; done
fi
