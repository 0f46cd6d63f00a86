#!/usr/bin/env bash
# Checks the scrape configurations, the rules and their unit tests, and the configurations of Alertmanager, and that
# alerts, tests and runbooks are the same set. Ends with a line `N passed, N failed`: promtool prints none in a format
# that a test runner reads.
set -uo pipefail
cd "$(dirname "$0")"
../scripts/need.sh promtool=prometheus amtool=prometheus-alertmanager || exit 1

passed=0
failed=0

# check NAME COMMAND …: prints the command's output if it fails.
check() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    printf 'FAILED: %s\n%s\n' "$name" "$said"
  fi
}

same() { diff <(alerts) <("$@"); }
alerts() { sed -n 's/^ *- alert: *//p' rules/*.yml | sort; }
tested() { find tests -name '*.yml' -exec basename -s .yml {} + | sort; }
runbooks() { find ../docs/runbooks -name '*.md' -exec basename -s .md {} + | sort; }
linked() { sed -n 's,^ *runbook_url: .{{ or $externalLabels.runbook_base "docs/runbooks" }}/\(.*\)\.md.$,\1,p' rules/*.yml | sort; }
# The boards that alerts link to exist.
boards() {
  local missing=0
  for board in $(sed -n 's,^ *dashboard_url: .{{ or $externalLabels.dashboard_base "/d" }}/\(.*\).$,\1,p' rules/*.yml | sort -u); do
    [ -e "../grafana/dashboards/$board.json" ] || { echo "board $board does not exist"; missing=1; }
  done
  return "$missing"
}
# Labels of the rules, jobs of the scrape configurations, and selectors of metrics that other services export too.
ours_only() {
  awk '/- alert:/ {n++} /labels: \{.*service: skriptoteket\}/ {s++} END {if (n == 0 || n != s) {print n, "alerts,", s, "of service: skriptoteket"; exit 1}}' rules/alerts.yml &&
    ! grep -n 'job_name: ' prometheus.yml direct.yml | grep -v 'job_name: skriptoteket' &&
    ! grep -nE '(^| )(up|ALERTS)\b *(\{|==|$)|otelcol_' rules/*.yml | grep -v 'job=~"skriptoteket\.\*"'
}
# Both configurations of Alertmanager route the same alerts to receivers of the same names.
same_routes() { diff <(sed -n '/^route:/,/^receivers:/p; /^inhibit_rules:/,$p' "$1") <(sed -n '/^route:/,/^receivers:/p; /^inhibit_rules:/,$p' "$2"); }
# FILE RECEIVER LABEL=VALUE …: the receiver of such an alert.
goes_to() { amtool config routes test --config.file="$1" --verify.receivers="$2" "${@:3}"; }
# Secrets are in files, never in the configuration.
secrets_are_files() { ! grep -nE '^ *(- )?(smtp_auth_password|slack_api_url|api_url|credentials|password|bearer_token|routing_key): ' "$1"; }
# One test fires the alert, and one does not.
fires() { grep -A2 "alertname: $1\$" "tests/$1.yml" | grep -q exp_alerts; }
stays_quiet() { grep -Eq "alertname: $1, |promql_expr_test" "tests/$1.yml"; }
complete() {
  awk '/- alert:/ {n++} /severity: (critical|warning|info|none)/ {s++} /^ *summary:/ {t++} /^ *description:/ {d++}
       /^ *dashboard_url:/ {b++}
       END {if (n == 0 || n != s || n != t || n != d || n != b) {print n, "alerts,", s, "severities,", t, "summaries,", d, "descriptions,", b, "boards"; exit 1}}' rules/alerts.yml
}

check "prometheus.yml" promtool check config prometheus.yml
check "direct.yml" promtool check config direct.yml
for file in ../docker/alertmanager.yml alertmanager.yml; do
  check "$file" amtool check-config "$file"
  check "$file has no secrets" secrets_are_files "$file"
  check "$file: critical alerts" goes_to "$file" critical alertname=SessionsLost severity=critical job=skriptoteket
  check "$file: warnings" goes_to "$file" warning alertname=ActiveSessionsDrop severity=warning job=skriptoteket
  check "$file: informational alerts" goes_to "$file" info alertname=RetiredCredentialInUse severity=info job=skriptoteket
  check "$file: the heartbeat" goes_to "$file" watchdog alertname=Watchdog severity=none
done
check "both configurations of Alertmanager have the same routes" same_routes ../docker/alertmanager.yml alertmanager.yml
for file in rules/*.yml; do
  check "$file" promtool check rules "$file"
done
check "every alert has tests of its name" same tested
check "every alert has a runbook, and every runbook an alert" same runbooks
check "every alert links its runbook" same linked
check "every alert has severity, summary, description and a board" complete
check "every linked board exists" boards
check "rules and scrape jobs are of this service only" ours_only
for alert in $(alerts); do
  check "tests/$alert.yml" promtool test rules "tests/$alert.yml"
  check "tests/$alert.yml fires it" fires "$alert"
  check "tests/$alert.yml keeps it quiet" stays_quiet "$alert"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
