#!/usr/bin/env bash
# Checks the scrape configuration, the rules, their unit tests, and that alerts, tests and runbooks are the same set.
# Ends with a line `N passed, N failed`: promtool prints none that a test runner knows.
set -uo pipefail
cd "$(dirname "$0")"
../scripts/need.sh promtool=prometheus || exit 1

passed=0
failed=0

# check NAME COMMAND …: what the command says is shown if it fails.
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
linked() { sed -n 's,^ *runbook_url: docs/runbooks/\(.*\)\.md$,\1,p' rules/*.yml | sort; }
# A test that fires its alert, and one that does not.
fires() { grep -A2 "alertname: $1\$" "tests/$1.yml" | grep -q exp_alerts; }
stays_quiet() { grep -Eq "alertname: $1, |promql_expr_test" "tests/$1.yml"; }
complete() {
  awk '/- alert:/ {n++} /severity: (critical|warning|info|none)/ {s++} /^ *summary:/ {t++} /^ *description:/ {d++}
       END {if (n == 0 || n != s || n != t || n != d) {print n, "alerts,", s, "severities,", t, "summaries,", d, "descriptions"; exit 1}}' rules/alerts.yml
}

check "prometheus.yml" promtool check config prometheus.yml
for file in rules/*.yml; do
  check "$file" promtool check rules "$file"
done
check "every alert has tests of its name" same tested
check "every alert has a runbook, and every runbook an alert" same runbooks
check "every alert links its runbook" same linked
check "every alert has severity, summary and description" complete
for alert in $(alerts); do
  check "tests/$alert.yml" promtool test rules "tests/$alert.yml"
  check "tests/$alert.yml fires it" fires "$alert"
  check "tests/$alert.yml keeps it quiet" stays_quiet "$alert"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
