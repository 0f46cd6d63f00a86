#!/bin/sh
# Makes what is secret in docker-compose.yml: at the first `docker compose up`, into volumes, never into the checkout.
# What is there stays. `docker compose run --rm secrets show` tells the two passwords that people type.
#
# The programs that read them run as users of their own and share the group of these files.
set -eu
umask 027

app=/secrets/app
redis=/secrets/redis
grafana=/secrets/grafana

random() { # BYTES, as letters and digits
    head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

make() { # FILE BYTES
    [ -s "$1" ] && return
    random "$2" >"$1.new"
    # Renamed when whole: a start that is broken off leaves no half secret.
    mv "$1.new" "$1"
}

if [ "${1:-make}" = show ]; then
    echo "Skriptoteket  admin  $(cat $app/admin_password)"
    echo "Grafana       admin  $(cat $grafana/admin_password)"
    exit 0
fi

make $app/cookie_key 48
make $app/redis_password 24
make $app/admin_password 12
make $grafana/admin_password 12

# Redis learns the digest only. `health` may ask whether it lives, and nothing else.
digest=$(sha256sum <$app/redis_password | cut -d' ' -f1)
cat >$redis/users.acl.new <<ACL
user default on #$digest ~* &* +@all
user health on nopass resetkeys resetchannels -@all +ping
ACL
mv $redis/users.acl.new $redis/users.acl

# Where the Collector sends traces and logs: nowhere else, unless the profile `backends` overwrites this.
[ "${1:-make}" = make ] && echo '{}' >/collector/backends.yaml
exit 0
