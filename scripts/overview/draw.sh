#!/usr/bin/env bash
# Draws docs/overview.png: the board Overview after a simulated day of the demo. Takes 25 minutes on a machine that must
# not be busy, or the logins are slow, and downloads 500 MB of packages at first. So it is not a part of `make test`.
#
#   scripts/overview/draw.sh [PROGRAM]
#
# PROGRAM is a skriptoteket; without it a release build is made. A day takes 15 minutes, and the picture shows the last
# one: from the evening of the first day to that of the second. With this seed the attack of the second day begins at
# eight in the morning, so the rates at the end, over five minutes, are those of ordinary traffic.
#
# The alerts that the demo's services raise on purpose are left out of the rules, because the picture is about logins:
# a rotated secret that is still used, and a service that exceeds its limits.
set -euo pipefail
cd "$(dirname "$0")/../.."

seed=12
day=15
minutes=22
on_purpose='RetiredCredentialInUse|RateLimitSaturation|RateLimitRejecting'
api=127.0.0.1:18080
management=127.0.0.1:19464
prometheus=127.0.0.1:19090

scripts/need.sh prometheus node=nodejs npm chromium
program=${1:-}
if [ -z "$program" ]; then
  cargo build --release --locked
  program=target/release/skriptoteket
fi

work=$PWD/.cache/overview
mkdir -p "$work/page/dist"
cp scripts/overview/{package.json,index.html,vite.config.js,data.js,main.jsx,draw.mjs} "$work/page"
(cd "$work/page" && npm install --no-audit --no-fund --loglevel=error && npx vite build --logLevel=error)
cp grafana/dashboards/skriptoteket-overview.json "$work/page/dist/board.json"

rm -rf "$work/prometheus"
mkdir -p "$work/prometheus/rules"
sed "s/localhost:9464/$management/; s/localhost:9090/$prometheus/" prometheus/direct.yml >"$work/prometheus/direct.yml"
cp prometheus/rules/recording.yml "$work/prometheus/rules"
# An alert is a paragraph.
awk -v RS= -v ORS='\n\n' -v names="alert: ($on_purpose)\n" '$0 !~ names' prometheus/rules/alerts.yml \
  >"$work/prometheus/rules/alerts.yml"

started=()
trap 'kill "${started[@]}" 2>/dev/null || true' EXIT
prometheus --config.file="$work/prometheus/direct.yml" --storage.tsdb.path="$work/prometheus/data" \
  --web.listen-address="$prometheus" 2>"$work/prometheus.log" &
started+=($!)
"$program" demo --seed "$seed" --day "${day}m" --duration "$((minutes + 1))m" \
  --listen "$api" --management-listen "$management" >"$work/demo.log" 2>&1 &
demo=$!
started+=("$demo")

sleep "${minutes}m"
node "$work/page/draw.mjs" "$work/page/dist" "http://$prometheus" "$day" "$PWD/docs/overview.png"
# It fails if the metrics differ from what the demo did.
wait "$demo"
tail -n 40 "$work/demo.log"
