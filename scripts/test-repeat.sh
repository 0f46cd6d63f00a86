#!/usr/bin/env bash
# Runs all tests repeatedly, to find those that depend on the speed of the machine: on the machine as it is, pinned to
# one core, and alongside busy loops. Lists every failure by the name of the test, and ends with a line `N passed, N
# failed` that counts the tests of all runs.
#
#   REPEAT_IDLE     runs on the machine as it is, which should do nothing else (4)
#   REPEAT_PINNED   runs on one core (2)
#   REPEAT_BUSY     runs beside busy loops (2)
#   REPEAT_LOOPS    busy loops (one more than there are cores)
#   REPEAT_MINUTES  after which a run is ended and has failed (90)
#
# The output of each run is kept in target/test-repeat/. Arguments are passed on to `cargo test`.
set -uo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh taskset=util-linux setpriv=util-linux timeout=coreutils || exit 1

idle=${REPEAT_IDLE:-4} pinned=${REPEAT_PINNED:-2} busy=${REPEAT_BUSY:-2}
loops=${REPEAT_LOOPS:-$(($(nproc) + 1))} minutes=${REPEAT_MINUTES:-90}
for number in "$idle" "$pinned" "$busy" "$loops" "$minutes"; do
  [[ $number =~ ^[0-9]+$ ]] || { echo "test-repeat: $number is not a whole number" >&2; exit 2; }
done

logs=target/test-repeat
rm -rf "$logs"
mkdir -p "$logs"
loop_ids=()
passed=0
failed=0

# They end with this script, however it ends, and at the latest after the time limit of a run.
start_loops() {
  local n
  for ((n = 0; n < loops; n++)); do
    setpriv --pdeathsig KILL bash -c "while [ \$SECONDS -lt $((minutes * 60)) ]; do :; done" &
    loop_ids+=($!)
  done
}
end_loops() {
  if [ ${#loop_ids[@]} -gt 0 ]; then
    kill "${loop_ids[@]}" 2>/dev/null
    wait "${loop_ids[@]}" 2>/dev/null
    loop_ids=()
  fi
}
trap end_loops EXIT
trap 'exit 130' INT TERM

# Prints the failures from the output of `cargo test`, one per line, then the numbers of passed and failed tests.
read_log() {
  awk '
    function close_target() { if (target != "") { failures[++n] = target ": it ended without a result"; bad++ } target = "" }
    /^     Running |^   Doc-tests / { close_target(); target = $2 == "unittests" ? $3 : $2; sub(/^tests\//, "", target); sub(/(\/main)?\.rs$/, "", target); at = target }
    /^failures:$/ { listed = 0; listing = 1; next }
    /^test result: / {
      for (i = 1; i <= listed; i++) failures[++n] = at "::" list[i]
      good += $4; bad += $6; listed = 0; listing = 0; target = ""
      next
    }
    listing && /^    [^ ]/ { sub(/^    /, ""); list[++listed] = $0 }
    END { close_target(); for (i = 1; i <= n; i++) print failures[i]; print good + 0, bad + 0 }
  ' "$1"
}

# run KIND NUMBER OF COMMAND …
run() {
  local kind=$1 number=$2 of=$3 log=$logs/$1-$2.log began=$SECONDS status=0
  shift 3
  timeout --kill-after=30 "${minutes}m" "$@" >"$log" 2>&1 || status=$?
  local lines good bad
  mapfile -t lines < <(read_log "$log")
  read -r good bad <<<"${lines[-1]}"
  unset 'lines[-1]'
  # A run that was stopped, or that did not reach the tests.
  if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
    lines+=("the run ended with status $status")
    bad=1
  fi
  if [ $((good + bad)) -eq 0 ]; then
    lines+=("no test was run")
    bad=1
  fi
  passed=$((passed + good))
  failed=$((failed + bad))
  echo "test-repeat: $kind $number of $of: $good passed, $bad failed, $((SECONDS - began)) s"
  for line in "${lines[@]}"; do
    echo "FAILED ($kind $number): $line; see $log"
  done
}

test=(cargo test --locked --workspace --no-fail-fast "$@")
# The time of the compiler is not tested.
cargo test --locked --workspace --no-run "$@" || exit 1
core=$(taskset -pc $$ | sed 's/.*: *\([0-9]*\).*/\1/')

for ((i = 1; i <= idle; i++)); do run idle $i "$idle" "${test[@]}"; done
for ((i = 1; i <= pinned; i++)); do run pinned $i "$pinned" taskset -c "$core" "${test[@]}"; done
for ((i = 1; i <= busy; i++)); do
  start_loops
  run busy $i "$busy" "${test[@]}"
  end_loops
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
