#!/usr/bin/env bash
# Looks for words to avoid in comments and messages of the sources, boards, alerts and documentation; scripts/words.txt has the
# list.
set -euo pipefail
cd "$(dirname "$0")/.."

texts=$(mktemp)
trap 'rm -f "$texts"' EXIT
# Every comment of a source file and every line of a document, as FILE:LINE:<tab>TEXT.
git ls-files -z 'src/*.rs' 'crates/*.rs' 'examples/*.rs' '*.mjs' | xargs -0 \
  awk 'match($0, /(^|[^:"])\/\/[\/!]?( |$)/) { print FILENAME ":" FNR ":\t" substr($0, RSTART) }' >"$texts"
# Also every text in quotes in the code of the program, which ends at the tests of a file.
git ls-files -z 'src/*.rs' 'crates/*.rs' ':!*/tests/*' ':!*/tests.rs' ':!crates/testing/*' | xargs -0 \
  awk 'FNR == 1 { code = 1 } /^#\[cfg\(test\)\]/ { code = 0 }
    code && !/^ *\/\// && match($0, /".*"/) { print FILENAME ":" FNR ":\t" substr($0, RSTART, RLENGTH) }' >>"$texts"
git ls-files -z '*.sh' '*.yml' '*.yaml' Makefile Dockerfile | xargs -0 \
  awk 'match($0, /(^|[[:space:]])#( |$)/) { print FILENAME ":" FNR ":\t" substr($0, RSTART) }' >>"$texts"
# What an operator reads on a board and in an alert.
git ls-files -z 'grafana/generate/*.mjs' prometheus/rules/alerts.yml | xargs -0 \
  awk '/^ *(title|text|none|question|summary|description): / { print FILENAME ":" FNR ":\t" $0 }' >>"$texts"
git ls-files -z '*.md' ':!CHANGELOG.md' ':!docs/metrics.md' ':!docs/configuration.md' | xargs -0 \
  awk '{ print FILENAME ":" FNR ":\t" $0 }' >>"$texts"

found=0
while IFS=$'\t' read -r words instead; do
  case $words in '' | '#'*) continue ;; esac
  # Only the part after the tab is searched, not the file name.
  while IFS= read -r line; do
    echo "${line:0:150}: write $instead"
    found=$((found + 1))
  done < <(grep -E -- "	(.*[^[:alnum:]_])?($words)([^[:alnum:]_]|$)" "$texts" || true)
done <scripts/words.txt
echo "$(wc -l <"$texts") lines of text, $found words to avoid"
[ "$found" -eq 0 ]
