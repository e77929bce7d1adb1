#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# summary.sh keep|quiet NAME COMMAND...   runs `go test -v`, keeps what it prints
# summary.sh show NAME...                 what the tests had to sum up
#
# A test sums up by t.Logf("summary: …"): how many attacks were tried, what a
# soak left. `go test` shows that with -v only; `quiet` runs with -v and shows
# what there is without it: of a package that passed, its line.
set -euo pipefail
cd "$(dirname "$0")/.."
kept=build/summary

# A package's lines come together, its own line last.
# shellcheck disable=SC2016 # awk's $
only_failures='
  { lines = lines $0 "\n" }
  /^(ok|\?|FAIL)[ \t]+[^ \t]/ || /^[ \t]+[^ \t]+[ \t]+coverage:/ {
    if ($1 == "FAIL") printf "%s", lines; else print
    fflush(); lines = ""
  }
  END { printf "%s", lines }'

run() {
  local how=$1 name=$2
  shift 2
  mkdir -p "$kept"
  if [[ $how == quiet ]]; then
    "$@" 2>&1 | tee "$kept/$name.log" | awk "$only_failures"
  else
    "$@" 2>&1 | tee "$kept/$name.log"
  fi
}

show() {
  local logs=() name
  for name in "$@"; do logs+=("$kept/$name.log"); done
  echo "summary:"
  # A pod that was refused or an attack that failed may print anything: only the
  # tests' own lines (go test: "    file_test.go:12: text") count.
  sed -nE 's/^ +[A-Za-z0-9_]+\.go:[0-9]+: summary: /  /p' "${logs[@]}" | LC_ALL=C sort
  awk '/^ *--- (PASS|FAIL|SKIP): / { count[$2]++ }
    END { printf "  tests: %d passed, %d failed, %d skipped\n", count["PASS:"], count["FAIL:"], count["SKIP:"] }' "${logs[@]}"
  # What go test says of each package stays the last word.
  grep -hE $'^(ok|FAIL)[ \t]+[^ \t]' "${logs[@]}"
}

case ${1-} in
  keep | quiet) run "$@" ;;
  show) shift && show "$@" ;;
  *)
    sed -n '5,6s/^# //p' "$0" >&2
    exit 2
    ;;
esac
