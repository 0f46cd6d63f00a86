#!/usr/bin/env bash
# Brings docker-compose.yml up as a project of its own, with people in it, looks at it from outside, and takes it down
# with all it made. Needs a Docker engine that can pull images. Ends with a line `N passed, N failed`.
set -uo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh curl jq || exit 1

compose=$(scripts/compose.sh) || exit 1
if ! docker info >/dev/null 2>&1; then
  echo "test-compose: no Docker engine answers here" >&2
  exit 1
fi
# Beside one that is in use.
export COMPOSE_PROJECT_NAME=skriptoteket-test-$$
export SKRIPTOTEKET_PORT=18080 PROMETHEUS_PORT=19090 GRAFANA_PORT=13000 ALERTMANAGER_PORT=19093
app=http://localhost:$SKRIPTOTEKET_PORT
prometheus=http://127.0.0.1:$PROMETHEUS_PORT
grafana=http://127.0.0.1:$GRAFANA_PORT
passed=0
failed=0

trap '$compose --profile demo down --volumes --remove-orphans --timeout 30 >/dev/null 2>&1' EXIT

# eventually SECONDS NAME COMMAND …: the command may fail until the time is up.
eventually() {
  local patience=$1 name=$2 until=$((SECONDS + $1))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$until" ]; then
      failed=$((failed + 1))
      echo "FAILED: $name (waited $patience s)"
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
board_source() { get -u "admin:$1" "$grafana/api/datasources/uid/prometheus/health" | jq -e '.status == "OK"'; }
password() { $compose run --rm -T secrets show 2>/dev/null | awk -v of="$1" '$1 == of {print $3}'; }
closed() { [ "$(curl -s -o /dev/null -w '%{http_code}' "$app/metrics")" = 404 ]; }
logs_in() {
  password Skriptoteket | jq -R '{username: "admin", password: .}' |
    get --json @- "$app/api/login" | jq -e '.user.role == "superuser"'
}

$compose --profile demo up --build --detach --scale app=2 || exit 1
eventually 300 "every service runs, and those with a check are healthy" all_healthy
eventually 30 "the superuser that was made logs in" logs_in
eventually 10 "the public port has no metrics" closed
eventually 60 "two replicas report" holds 'count(skriptoteket_session_census_up == 1) == 2'
eventually 60 "logins are counted" holds 'sum(skriptoteket_logins_total{status="success"}) > 0'
eventually 60 "sessions are counted" holds 'max(skriptoteket_active_sessions) > 0'
eventually 60 "every target is up" holds 'min(up) == 1 and count(up) == 3'
eventually 60 "no rule fails" holds 'sum(prometheus_rule_evaluation_failures_total) == 0'
eventually 60 "Alertmanager is reached" holds 'prometheus_notifications_alertmanagers_discovered == 1'
eventually 60 "Grafana has every board" boards
eventually 60 "Grafana reaches Prometheus" board_source "$(password Grafana)"
$compose stop otel-collector >/dev/null 2>&1
eventually 30 "without the Collector people log in" logs_in

[ "$failed" -eq 0 ] || $compose --profile demo logs --tail 40
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
