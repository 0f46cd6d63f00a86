#!/bin/sh
# Starts nginx with the name server of this container. nginx does not read /etc/resolv.conf, and the address differs by
# engine: Docker's is 127.0.0.11, Podman's is that of the network.
set -eu

# The first one, as in the C library. An IPv6 address is written in brackets. nginx does not support one with a zone
# (%eth0).
server=$(awk '$1 == "nameserver" && $2 !~ /%/ {print $2 ~ /:/ ? "[" $2 "]" : $2; exit}' /etc/resolv.conf)
if [ -z "$server" ]; then
    echo "proxy: /etc/resolv.conf names no name server" >&2
    exit 1
fi
echo "resolver $server valid=2s ipv6=off;" >/tmp/resolver.conf
exec nginx -g "daemon off;" "$@"
