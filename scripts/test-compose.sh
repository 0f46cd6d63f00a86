#!/usr/bin/env bash
# Starts docker-compose.yml as a separate project with simulated users, checks it from outside, and removes everything
# that it created. Needs a Docker engine that can pull images. Ends with a line `N passed, N failed`.
set -uo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh curl jq || exit 1

compose=$(scripts/compose.sh) || exit 1
if ! docker info >/dev/null 2>&1; then
  echo "test-compose: no Docker engine is available" >&2
  exit 1
fi
# Does not interfere with a project in use.
export COMPOSE_PROJECT_NAME=skriptoteket-test-$$
export SKRIPTOTEKET_PORT=18080 PROMETHEUS_PORT=19090 GRAFANA_PORT=13000 ALERTMANAGER_PORT=19093
export SKRIPTOTEKET_NETWORK_PREFIX=10.94.202
app=http://localhost:$SKRIPTOTEKET_PORT
alertmanager=http://127.0.0.1:$ALERTMANAGER_PORT
prometheus=http://127.0.0.1:$PROMETHEUS_PORT
grafana=http://127.0.0.1:$GRAFANA_PORT
passed=0
failed=0
broken=$(mktemp) || exit 1

trap '$compose --profile "*" down --volumes --remove-orphans --timeout 30 >/dev/null 2>&1; rm -f "$broken"' EXIT

# eventually SECONDS NAME COMMAND …: repeats the command until it succeeds or the time is up.
eventually() {
  local limit=$1 name=$2 until=$((SECONDS + $1))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$until" ]; then
      failed=$((failed + 1))
      echo "FAILED: $name (waited $limit s)"
      return
    fi
    sleep 2
  done
  passed=$((passed + 1))
}

get() { curl -fsS --max-time 5 "$@"; }
asked() { get --get --data-urlencode "query=$1" "$prometheus/api/v1/query" | jq -r '.data.result[0].value[1] // empty'; }
holds() { [ -n "$(asked "$1")" ]; }
all_healthy() {
  local states
  states=$($compose --profile demo ps --all --format json | jq -rs 'flatten | .[] | select(.Service != "secrets") | [.Service, .State, .Health] | join(" ")') &&
    [ -n "$states" ] && ! grep -Ev ' running (healthy)?$' <<<"$states"
}
boards() { [ "$(get "$grafana/api/search?type=dash-db" | jq length)" -eq "$(find grafana/dashboards -name '*.json' | wc -l)" ]; }
board_source() { get -u "admin:$(password Grafana)" "$grafana/api/datasources/uid/$1/health" | jq -e '.status == "OK"'; }
no_board_source() {
  [ "$(curl -s -o /dev/null -w '%{http_code}' -u "admin:$(password Grafana)" "$grafana/api/datasources/uid/$1/health")" = 404 ]
}
runbook() {
  local link
  link=$(get "$prometheus/api/v1/alerts" | jq -r '.data.alerts[] | select(.labels.alertname == "Watchdog") | .annotations.runbook_url') &&
    get "$link" | grep -q '^# Watchdog'
}
webhook() { $compose --profile demo logs alerts | grep -q 'Waiting for alerts'; }
password() { $compose run --rm -T secrets show 2>/dev/null | awk -v of="$1" '$1 == of {print $3}'; }
closed() { [ "$(curl -s -o /dev/null -w '%{http_code}' "$app/metrics")" = 404 ]; }
logs_in() {
  password Skriptoteket | jq -R '{username: "admin", password: .}' |
    get --json @- "$app/api/login" | jq -e '.user.role == "superuser"'
}

# Sends a wrong login with a forged address, and prints the status.
guess() {
  curl -s --max-time 5 -o /dev/null -w '%{http_code}' --json '{"username":"nobody","password":"wrong-guess"}' \
    -H "X-Forwarded-For: 203.0.113.$1, 10.94.202.2" "$app/api/login"
}
# The address in the audit trail is neither the forged one nor one of the demo's.
forged() {
  local trail
  guess 77 && trail=$($compose exec -T app skriptoteket audit list --limit 100) && ! grep -F 203.0.113.77 <<<"$trail" &&
    grep -F invalid_credentials <<<"$trail" | grep -qvE ' (192\.0\.2\.|198\.51\.100\.|203\.0\.113\.|2001:db8:)'
}
# The demo's users have their own addresses.
peopled() { $compose exec -T app skriptoteket audit list --limit 100 | grep -F 192.0.2.; }
# Many forged addresses share the budget of one address, 100.
flooded() {
  local guess
  for guess in $(seq 200); do
    [ "$(guess "$guess")" != 429 ] || return 0
  done
  return 1
}
commands() { $compose exec -T app skriptoteket session verify && $compose exec -T app skriptoteket session stats; }
links() { get "$alertmanager/api/v2/alerts" | jq -e --arg url "http://localhost:$PROMETHEUS_PORT/" 'any(.generatorURL | startswith($url))'; }
# The program's layer is at most 40 MB, without the base image.
small() {
  [ "$(docker history --human=false --format '{{.Size}} {{.CreatedBy}}' skriptoteket:local | awk '/COPY/ {sum += $1} END {print int(sum / 1e6)}')" -le 40 ]
}
private() {
  [ "$(docker run --rm --network none --entrypoint stat -v "${COMPOSE_PROJECT_NAME}_data:/d:ro" redis:8.2.10-alpine -c %a /d)" = 700 ]
}

# The port of every part of telemetry is taken by the service, and the Collector cannot be started. `up` reports an
# error, and the service still starts.
cat >"$broken" <<'YAML'
services:
  otel-collector: {entrypoint: [/nowhere]}
  prometheus: {command: [--config.file=/nowhere]}
YAML
PROMETHEUS_PORT=$SKRIPTOTEKET_PORT ALERTMANAGER_PORT=$SKRIPTOTEKET_PORT GRAFANA_PORT=$SKRIPTOTEKET_PORT \
  $compose --file docker-compose.yml --file "$broken" up --build --detach >/dev/null 2>&1 && failed=1 && echo "FAILED: ports that are taken cause no error"
eventually 60 "with broken telemetry the service starts, and users can log in" logs_in

if $compose --profile demo up --detach --wait --wait-timeout 300 --scale app=2; then
  passed=$((passed + 1))
else
  failed=$((failed + 1))
  echo "FAILED: --profile demo up --wait"
fi
eventually 30 "every service is running, and those with a health check are healthy" all_healthy
eventually 30 "the created superuser can log in" logs_in
eventually 10 "the public port has no metrics" closed
eventually 60 "two replicas report" holds 'count(skriptoteket_session_census_up == 1) == 2'
eventually 60 "logins are counted" holds 'sum(skriptoteket_logins_total{status="success"}) > 0'
eventually 60 "sessions are counted" holds 'max(skriptoteket_active_sessions) > 0'
eventually 60 "every target is up" holds 'min(up) == 1 and count(up) == 3'
eventually 60 "no rule fails" holds 'sum(prometheus_rule_evaluation_failures_total) == 0'
eventually 60 "the link of an alert leads to its runbook" runbook
eventually 30 "the webhook of the demo listens" webhook
eventually 60 "Prometheus reaches Alertmanager" holds 'prometheus_notifications_alertmanagers_discovered == 1'
eventually 60 "Grafana has every board" boards
eventually 60 "Grafana reaches Prometheus" board_source prometheus
eventually 60 "an alert links to the external address of Prometheus" links
eventually 10 "commands have the permissions that they need in Redis" commands
eventually 10 "the program's layer is small" small
eventually 10 "the data directory is private" private
eventually 10 "a client cannot choose its address in the audit trail" forged
eventually 30 "the demo's users have their own addresses" peopled

$compose --profile backends up --detach --wait --scale app=2 >/dev/null 2>&1
eventually 60 "Grafana reaches Tempo" board_source tempo
eventually 60 "Grafana reaches Loki" board_source loki
$compose --profile backends stop tempo loki otel-collector grafana >/dev/null 2>&1
$compose up --detach --scale app=2 >/dev/null 2>&1
eventually 60 "without Tempo Grafana has no data source for it" no_board_source tempo

$compose stop otel-collector >/dev/null 2>&1
eventually 30 "without the Collector users can log in" logs_in
eventually 10 "a client that forges addresses uses up its own budget" flooded

[ "$failed" -eq 0 ] || $compose --profile '*' logs --tail 40
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
