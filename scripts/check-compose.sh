#!/usr/bin/env bash
# Checks the files of `docker compose up` without a Docker engine: the Compose file with every profile, the Dockerfile,
# the Collector's configuration, the scripts that run in containers. Ends with a line `N passed, N failed`.
set -uo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh jq || exit 1

compose=$(scripts/compose.sh) || exit 1
version=$(sed -n 's/^  version: *//p' otel-collector/builder.yaml)
collector=.cache/collector/$version/otelcol
sandbox=$(mktemp -d) || exit 1
trap 'rm -rf "$sandbox"' EXIT
passed=0
failed=0

check() { # NAME COMMAND …
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED: %s\n%s\n' "$name" "$said"
  fi
}

config() { $compose --profile '*' config "$@"; }
# The Compose file as parsed by Compose, with every profile.
model=$sandbox/model.json
config --format json >"$model" 2>/dev/null
# holds FILTER: the jq filter is true for the model. none FILTER: the filter selects nothing; what it selects is
# printed.
holds() { jq -e "$1" "$model" >/dev/null; }
none() { [ -z "$(jq -r "$1" "$model" | tee /dev/stderr)" ]; }
# Prints a file without its comments.
code() { sed 's/^ *#.*//; s/ #.*//' "$1"; }

# The tag of every image is a version, and no image lacks a tag.
pinned() { ! config --images | grep -v '^skriptoteket:local$' | grep -Ev ':v?[0-9]+\.[0-9]+\.[0-9]+(-alpine)?$'; }
# The first versions without published vulnerabilities and bugs that were known when they were chosen.
sound() {
  local image least is result=0
  while read -r image least; do
    for is in $(config --images | sed -n "s,^$image:v\?\([0-9.]*\).*,\1,p" | sort -u); do
      [ "$(printf '%s\n' "$least" "$is" | sort -V | head -n 1)" = "$least" ] || { echo "$image:$is is older than $least" && result=1; }
    done
  done <<'VERSIONS'
redis 8.2.6
nginxinc/nginx-unprivileged 1.30.7
prom/alertmanager 0.30.1
grafana/grafana 13.2.3
VERSIONS
  return "$result"
}
hardened() {
  none '.services | to_entries[] | select(.value | (.read_only and (.cap_drop == ["ALL"]) and (.security_opt == ["no-new-privileges:true"])
    and .mem_limit and .user and (.ulimits.core != null)) | not) | .key'
}
on_loopback() { none '.services | to_entries[] | select(.value.ports[]?.host_ip != "127.0.0.1") | .key'; }
files_are_there() {
  local missing=0 file
  for file in $(jq -r '.services[].volumes[]? | select(.type == "bind") | .source' "$model"); do
    [ -e "$file" ] || { echo "$file does not exist"; missing=1; }
  done
  return "$missing"
}
# A bind mount is read-only and readable with SELinux.
mounts() { none '.services | to_entries[] | .key as $service | .value.volumes[]? | select(.type == "bind" and ((.read_only and .bind.selinux == "z") | not)) | "\($service): \(.source)"'; }
same_collector() { [ "$(config --images | grep -cx "otel/opentelemetry-collector-contrib:$version")" -ge 1 ]; }
# Three settings that have to be equal.
same_interval() {
  grep -q 'OTEL_METRIC_EXPORT_INTERVAL: "15000"' docker-compose.yml &&
    grep -q 'scrape_interval: 15s' prometheus/prometheus.yml &&
    grep -rq 'timeInterval: 15s' grafana/provisioning/datasources
}
# The direct and indirect dependencies of a service.
awaited='def awaited($all): (.depends_on // {} | keys) + ([.pid, .network_mode | strings | select(startswith("service:")) | .[8:]])
  | . + [.[] | $all[.] | awaited($all)[]] | unique;'
# Everything else starts after the service itself: a container that cannot start keeps Compose from starting the next
# ones.
service_first() {
  none "$awaited"' .services as $all | ["secrets", "redis", "app", "proxy"] as $service | $all | to_entries[]
    | (.value | awaited($all)) as $awaited
    | if .key | IN($service[]) then select($awaited - $service != []) else select($awaited | index("proxy") | not) end
    | "\(.key) waits for \($awaited)"'
}
# A failing part of telemetry does not keep another one from starting.
telemetry_is_not_awaited() {
  none '.services | to_entries[] | .key as $service | .value.depends_on // {} | to_entries[]
    | select(.value.condition == "service_healthy" and (.key | IN("redis", "proxy") | not)) | "\($service) waits until \(.key) is healthy"'
}
# `up --wait` treats two kinds of containers as failed: those with a health check both in Compose and in the image, and
# those that ended without another container waiting for it.
can_be_waited_for() {
  ! code Dockerfile | grep HEALTHCHECK &&
    none '[.services[].depends_on // {} | to_entries[] | select(.value.condition == "service_completed_successfully") | .key] as $waited
      | .services | to_entries[] | select(.value.restart == "no" and (.key | IN($waited[]) | not)) | "\(.key) ends, and nothing waits for it"'
}
# Settings that Docker Engine 20.10, Podman's API or Compose 2.20 does not support.
old_engines() { ! code docker-compose.yml | grep -nE 'start_interval|required: false|post_start|pre_stop|gw_priority|develop:|type: image|uts:|cgroup:'; }
proxy_is_trusted() {
  holds '.services.proxy.networks.front.ipv4_address as $proxy | .networks.front.ipam.config[0] as $front
    | (.services.app.environment.SKRIPTOTEKET_TRUSTED_PROXIES == $proxy)
    and ($proxy | split(".")[:3]) == ($front.subnet | split(".")[:3])
    and ($front.ip_range | split(".")[3] | split("/") | map(tonumber)) as [$first, $bits]
      | ($proxy | split(".")[3] | tonumber) as $own | $own < $first or $own >= $first + pow(2; 32 - $bits)'
}
# The proxy is the first hop: it passes no client-supplied address on.
proxy_names_the_client() {
  ! code docker/nginx.conf | grep proxy_add_x_forwarded_for &&
    [ "$(code docker/nginx.conf | grep -c 'proxy_set_header X-Forwarded-For \$remote_addr;')" -eq 1 ] &&
    code docker/nginx.conf | grep -q 'proxy_read_timeout 10s' && code docker/nginx.conf | grep -q 'proxy_send_timeout 10s'
}
# In nginx a block that sets a header inherits no headers from the enclosing block.
proxy_sets_all_headers() {
  code docker/nginx.conf | awk '
    $1 == "proxy_set_header" { blocks[depth, name[depth]]; sets[depth, name[depth], $2]; if (depth == 1) outer[$2] }
    /{$/ { depth++; name[depth] = NR }
    $1 == "}" { depth-- }
    END {
      for (block in blocks) for (header in outer) if (!((block SUBSEP header) in sets)) { split(block, at, SUBSEP); print "the block in line " at[2] " does not set " header; missing = 1 }
      exit missing
    }'
}
# An attempt may wait for others in the service. Every server of the proxy waits longer than that for attempts: the
# password check comes after it.
proxy_waits_for_attempts() {
  local waits servers
  waits=$(sed -n 's/^const LONGEST_WAIT: Duration = Duration::from_secs(\([0-9]*\));$/\1/p' crates/login/src/guard/throttle.rs)
  servers=$(code docker/nginx.conf | grep -c '^    server {')
  [ -n "$waits" ] && code docker/nginx.conf | awk -v least=$((waits + 10)) -v servers="$servers" '
    $1 == "location" { attempts = index($0, "location ~ ^/(api/login|api/password|login|account/password)$ {") }
    attempts && $1 == "proxy_read_timeout" { if ($2 + 0 >= least) enough++; else print "only " $2 }
    $1 == "}" { attempts = 0 }
    END { if (enough != servers) print enough + 0 " of " servers " servers wait " least " s for attempts"; exit enough != servers }'
}
# Only the demo can reach the port at which the demo names its clients.
demo_port_is_closed() {
  ! code docker/nginx.conf | grep -E '^ *listen ' | grep -vE 'listen (8080|127\.0\.0\.1:[0-9]+);' &&
    none '.services.proxy.ports[] | select(.target != 8080) | .target'
}
proxy_resolves() { # RESOLV.CONF EXPECTED
  local place
  place=$(mktemp -d -p "$sandbox") && mkdir "$place/bin" || return 1
  printf '%b' "$1" >"$place/resolv.conf"
  printf '#!/bin/sh\n' >"$place/bin/nginx"
  chmod +x "$place/bin/nginx"
  sed "s,/tmp/,$place/,; s,/etc/resolv.conf,$place/resolv.conf,g" docker/proxy.sh >"$place/proxy.sh"
  PATH=$place/bin:$PATH sh "$place/proxy.sh" && diff <(echo "resolver $2 valid=2s ipv6=off;") "$place/resolver.conf"
}
small_networks() { none '.networks | to_entries[] | select([.value.ipam.config[0].subnet // "/0" | split("/")[1] | tonumber] | .[0] < 24) | .key'; }
settings() { # VARIABLE=VALUE … JQ-FILTER
  env "${@:1:$#-1}" $compose config --format json | jq -e "${!#}" >/dev/null
}
links() {
  settings PROMETHEUS_PORT=19090 ALERTMANAGER_PORT=19093 GRAFANA_PORT=13000 '
    (.services.prometheus.command | index("--web.external-url=http://localhost:19090")) and
    (.services.alertmanager.command | index("--web.external-url=http://localhost:19093")) and
    (.services.grafana.environment.GF_SERVER_ROOT_URL == "http://localhost:13000")'
}
# Every variable in the file is documented.
variables() {
  local missing=0 name
  for name in $(grep -o '\${[A-Z_]*' docker-compose.yml | tr -d '${' | sort -u); do
    grep -q "\`$name\`" docs/compose.md || { echo "docs/compose.md lacks $name"; missing=1; }
    case $name in *_PORT) grep -q "\`$name\`" README.md || { echo "README.md lacks $name"; missing=1; } ;; esac
  done
  return "$missing"
}
# The data sources that the profile adds are those that are deleted without it.
datasources() {
  diff <(sed -n 's/^  - name: //p' docker/datasources.yml | sort) <(sed -n 's/^  - {name: \(.*\), orgId: 1}$/\1/p' docker/secrets.sh | sort)
}
# Redis permits the commands that the service needs (by its own list), and no administration.
redis_commands() {
  local rule missing=0 name names
  rule=$(sed -n 's/^user default //p' docker/secrets.sh)
  names=$(sed -n '/^const COMMANDS/,/^\];/s/^    "\([A-Z]*\).*/\L\1/p' crates/redis/src/connection/checks.rs)
  [ -n "$names" ] || { echo "no list of commands was found"; return 1; }
  for name in $names; do
    case " $rule " in *" +$name "*) ;; *) echo "docker/secrets.sh does not permit $name"; missing=1 ;; esac
  done
  case $rule in *'~*'* | *'&*'* | *+@* | *allkeys* | *allcommands*) echo "too much is permitted: $rule"; missing=1 ;; esac
  return "$missing"
}
# Redis reads its users at its start: when the rules change, the container has to be recreated.
redis_reads_rules() {
  local digest
  digest=$(sed -n '/^user /p' docker/secrets.sh | sha256sum | cut -c1-12)
  holds ".services.redis.labels[\"skriptoteket.acl\"] == \"$digest\"" || { echo "the label skriptoteket.acl of redis must be $digest"; return 1; }
}
redis_keeps() { holds '.services.redis.command | (.[index("--appendonly") + 1] == "yes") and (.[index("--save") + 1] == "") and (.[index("--maxmemory-policy") + 1] == "noeviction")'; }
demo_secrets() { holds '[.services.demo.volumes[].source] == ["secrets-admin"]'; }
never_pulled() { none '.services | to_entries[] | select(.value.image == "skriptoteket:local" and .value.pull_policy != "never") | .key'; }
plugins_are_seen() { none '.services.grafana.volumes[] | select(.target == "/etc/grafana/provisioning") | .target'; }
labels() { grep -q "org.opencontainers.image.version=\"$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)\"" Dockerfile; }
no_frontend() { ! head -n 1 Dockerfile | grep -i '# *syntax'; }
# Runs the Dockerfile's own commands, with cargo, on a crate of a few lines: a changed source that is older than the
# last build is compiled, also if the clock was ahead during that build.
rebuilt() {
  local src=$sandbox/src out=$sandbox/out build
  mkdir -p "$src/src" && cd "$src" || return 1
  build=$(sed -n '/^RUN --mount/,/[^\\]$/p' "$OLDPWD/Dockerfile" | sed 's/^RUN //; s/--mount=[^ ]*//; s/\\$//' | tr '\n' ' ' |
    sed "s,/src/target,$src/target,g; s,/out/,$out/,g")
  printf '[package]\nname = "skriptoteket"\nversion = "0.1.0"\nedition = "2024"\n[workspace]\n' >Cargo.toml
  touch src/lib.rs
  for text in first second third; do
    printf 'fn main() { println!("%s"); }\n' "$text" >src/main.rs
    touch -d '2001-01-01' src/*.rs
    [ -e Cargo.lock ] || cargo generate-lockfile --offline || return 1
    sh -euc "$build" || return 1
    [ "$("$out/skriptoteket")" = "$text" ] || { echo "the $text program is not in the image"; return 1; }
    # From now on the cache is dated tomorrow.
    find target -exec touch -d tomorrow {} +
  done
}
image_is_small() { sed -n '/^\[profile.release\]/,/^$/p' Cargo.toml | grep -qx 'debug = false'; }
# The manifest has exactly the components that the two files name.
parts() {
  diff <(sed -n 's,^  - gomod: .*/\([a-z]*\)\(receiver\|processor\|exporter\|extension\) .*,\1,p' otel-collector/builder.yaml | sort) \
    <("$collector" print-config --config otel-collector/config.yaml --config otel-collector/backends.yaml | named | sort -u)
}
named() { sed -n '/^service:/q; s,^    \([a-z_]*\)\(/[a-z]*\)\?:.*,\1,p' | tr -d _; }
secrets() {
  local place before after
  place=$(mktemp -d -p "$sandbox") && mkdir -p "$place"/secrets/{app,admin,redis,grafana} "$place"/{collector,grafana-datasources} || return 1
  sed "s,/secrets/,$place/secrets/,g; s,/collector,$place/collector,g; s,/grafana-datasources,$place/grafana-datasources,g
    s,/datasources/,$PWD/grafana/provisioning/datasources/,g; s/chgrp 10001/true/" docker/secrets.sh >"$place/secrets.sh"
  # A password that was created before it had its own volume is kept.
  echo old-password >"$place/secrets/app/admin_password"
  sh "$place/secrets.sh" && before=$(cat "$place"/secrets/*/*) && sh "$place/secrets.sh" && after=$(cat "$place"/secrets/*/*) || return 1
  [ -n "$before" ] && [ "$before" = "$after" ] && [ "$(cat "$place/secrets/admin/password")" = old-password ] &&
    [ ! -e "$place/secrets/app/admin_password" ] && [ -s "$place/grafana-datasources/prometheus.yml" ]
}

check "docker-compose.yml" $compose config --quiet
check "docker-compose.yml with every profile" config --quiet
check "every image is pinned" pinned
check "no image has a known vulnerability" sound
check "every service is hardened" hardened
check "every port is on loopback" on_loopback
check "every mounted file exists" files_are_there
check "every bind mount is read-only and labelled" mounts
check "the Collector's image has the version of the tests" same_collector
check "export, scrape and board intervals are equal" same_interval
check "the service starts before everything else" service_first
check "nothing waits for the health of telemetry" telemetry_is_not_awaited
check "up --wait can succeed" can_be_waited_for
check "nothing needs a newer engine than documented" old_engines
check "only the proxy's address is trusted" proxy_is_trusted
check "the proxy sets the client's address, and has time limits" proxy_names_the_client
check "every block of the proxy that sets headers sets all of them" proxy_sets_all_headers
check "the proxy waits for login attempts" proxy_waits_for_attempts
check "the proxy has one port for clients" demo_port_is_closed
check "docker/proxy.sh with Docker's name server" proxy_resolves 'nameserver 127.0.0.11\noptions ndots:0\n' 127.0.0.11
check "docker/proxy.sh with Podman's name servers" proxy_resolves 'search dns.podman\nnameserver 10.89.0.1\nnameserver 10.89.1.1\n' 10.89.0.1
check "docker/proxy.sh with IPv6 name servers" proxy_resolves 'nameserver fe80::1%%eth0\nnameserver fd00::1\n' '[fd00::1]'
check "networks are small" small_networks
check "links in alerts and boards work from outside" links
check "SKRIPTOTEKET_PUBLIC_URL can be set" settings SKRIPTOTEKET_PUBLIC_URL=https://login.example '.services.app.environment.SKRIPTOTEKET_PUBLIC_URL == "https://login.example"'
check "every variable is documented" variables
check "Grafana's data sources of the profile backends are deleted without it" datasources
check "Redis permits only the commands that the service needs" redis_commands
check "Redis is recreated when its users change" redis_reads_rules
check "Redis persists sessions and evicts none" redis_keeps
check "the demo has access to one secret only" demo_secrets
check "the image that is built is never pulled" never_pulled
check "Grafana sees its own provisioning directories" plugins_are_seen
check "Dockerfile" scripts/hadolint.sh Dockerfile
check "the image's version is the program's" labels
check "no build pulls a frontend" no_frontend
check "a rebuild compiles changed sources" rebuilt
check "the program in the image has no line tables" image_is_small
check "otel-collector/config.yaml" "$collector" validate --config otel-collector/config.yaml
check "otel-collector/backends.yaml" "$collector" validate --config otel-collector/config.yaml --config otel-collector/backends.yaml
check "otel-collector/builder.yaml has exactly the components in use" parts
check "docker/secrets.sh creates secrets once" secrets

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
