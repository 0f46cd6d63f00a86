#!/bin/sh
# Creates the secrets of docker-compose.yml at the first `docker compose up`, in volumes, never in the checkout.
# Existing secrets are kept. `docker compose run --rm secrets show` prints the two passwords that people type.
#
# The programs that read them run as separate users, and share the group of these files.
set -eu
umask 027

app=/secrets/app
admin=/secrets/admin
redis=/secrets/redis
grafana=/secrets/grafana

random() { # BYTES, as letters and digits
    head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'
}

put() { # FILE, from standard input. Renamed when whole: a start that is broken off leaves no half file.
    cat >"$1.new"
    mv "$1.new" "$1"
}

make() { # FILE BYTES
    [ -s "$1" ] || random "$2" | put "$1"
}

if [ "${1:-make}" = show ]; then
    echo "Skriptoteket  admin  $(cat $admin/password)"
    echo "Grafana       admin  $(cat $grafana/admin_password)"
    exit 0
fi

# Its place before it had its own volume.
if [ -s $app/admin_password ] && [ ! -s $admin/password ]; then
    put $admin/password <$app/admin_password
fi
rm -f $app/admin_password

make $app/cookie_key 48
make $app/redis_password 24
make $admin/password 12
make $grafana/admin_password 12

# Redis gets only the digest. The service may run the commands that it and its command line need, on its own keys.
# `health` may check that Redis is alive, and nothing else.
digest=$(sha256sum <$app/redis_password | cut -d' ' -f1)
put $redis/users.acl <<ACL
user default on #$digest ~{skriptoteket:* resetchannels -@all +ping +info +time +eval +evalsha +wait +del +exists +get +getrange +mget +set +setrange +incr +pttl +pexpire +hgetall +hincrby +hset +zadd +zcard +zcount +zmscore +zrange +zrangebyscore +zrem +zremrangebyscore +zscore +zscan +scan +memory|usage
user health on nopass resetkeys resetchannels -@all +ping
ACL

# Traces and logs are discarded, unless the profile `backends` overwrites these files (docker/backends.sh). Its two
# services have the group of this one.
umask 022
for place in /collector /grafana-datasources; do
    chgrp 10001 $place
    chmod 775 $place
done
echo '{}' | put /collector/backends.yaml
put /grafana-datasources/prometheus.yml </datasources/prometheus.yml
put /grafana-datasources/backends.yml <<'YAML'
apiVersion: 1
deleteDatasources:
  - {name: Tempo, orgId: 1}
  - {name: Loki, orgId: 1}
YAML
