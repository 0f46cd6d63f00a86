#!/usr/bin/env bash
# Checks what `docker compose up` is made of, without a Docker engine: the Compose file with every profile, the
# Dockerfile, the Collector's configuration, the secrets script. Ends with a line `N passed, N failed`.
set -uo pipefail
cd "$(dirname "$0")/.."

compose=$(scripts/compose.sh) || exit 1
version=$(sed -n 's/^  version: *//p' otel-collector/builder.yaml)
collector=.cache/collector/$version/otelcol
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

config() { $compose --profile demo --profile backends config "$@"; }
# The tag of every image is a version, and no image is without one.
pinned() { ! config --images | grep -v '^skriptoteket:local$' | grep -Ev ':v?[0-9]+\.[0-9]+\.[0-9]+(-alpine)?$'; }
hardened() {
  local services
  services=$(config --services | wc -l)
  for line in 'read_only: true' 'no-new-privileges:true' '- ALL' 'mem_limit: ' 'user: '; do
    [ "$(config | grep -c -- "$line")" -ge "$services" ] || { echo "a service lacks $line"; return 1; }
  done
}
# Compose's own form of a published port has its address in a line of its own.
on_loopback() { [ "$(config | grep -c 'published:')" -eq "$(config | grep -c 'host_ip: 127.0.0.1')" ]; }
files_are_there() {
  local missing=0
  for file in $(sed -n 's,^ *- \(\./[^:]*\):.*,\1,p' docker-compose.yml); do
    [ -e "$file" ] || { echo "$file is not there"; missing=1; }
  done
  return "$missing"
}
same_collector() { [ "$(config --images | grep -cx "otel/opentelemetry-collector-contrib:$version")" -ge 1 ]; }
# Three settings that have to be one.
same_interval() {
  grep -q 'OTEL_METRIC_EXPORT_INTERVAL: "15000"' docker-compose.yml &&
    grep -q 'scrape_interval: 15s' prometheus/prometheus.yml &&
    grep -rq 'timeInterval: 15s' grafana/provisioning/datasources
}
# The manifest has the parts that the two files name, and no other.
parts() {
  diff <(sed -n 's,^  - gomod: .*/\([a-z]*\)\(receiver\|processor\|exporter\|extension\) .*,\1,p' otel-collector/builder.yaml | sort) \
    <("$collector" print-config --config otel-collector/config.yaml --config otel-collector/backends.yaml | named | sort -u)
}
named() { sed -n '/^service:/q; s,^    \([a-z_]*\)\(/[a-z]*\)\?:.*,\1,p' | tr -d _; }
secrets() {
  local sandbox
  sandbox=$(mktemp -d) && mkdir -p "$sandbox"/secrets/{app,redis,grafana} "$sandbox/collector" || return 1
  sed "s,/secrets/,$sandbox/secrets/,g; s,/collector/,$sandbox/collector/,g" docker/secrets.sh >"$sandbox/secrets.sh"
  local before after
  sh "$sandbox/secrets.sh" && before=$(cat "$sandbox"/secrets/*/*) && sh "$sandbox/secrets.sh" && after=$(cat "$sandbox"/secrets/*/*)
  local result=$?
  rm -r "$sandbox"
  [ "$result" -eq 0 ] && [ -n "$before" ] && [ "$before" = "$after" ]
}

check "docker-compose.yml" $compose config --quiet
check "docker-compose.yml with every profile" config --quiet
check "every image is pinned" pinned
check "every service is hardened" hardened
check "every port is on loopback" on_loopback
check "what is mounted is there" files_are_there
check "the Collector's image is the version that the tests run" same_collector
check "export, scrape and board intervals are one" same_interval
check "Dockerfile" scripts/hadolint.sh Dockerfile
check "otel-collector/config.yaml" "$collector" validate --config otel-collector/config.yaml
check "otel-collector/backends.yaml" "$collector" validate --config otel-collector/config.yaml --config otel-collector/backends.yaml
check "otel-collector/builder.yaml has the parts that are used" parts
check "docker/secrets.sh makes secrets once" secrets

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
