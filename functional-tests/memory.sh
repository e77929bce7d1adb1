#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# Measures how much guest memory images of several sizes take, with a trusted
# store and without, in a test node, and writes docs/memory.md and its plot
# (`make memory`).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
results=$(mktemp)
trap 'rm -f "$results"' EXIT

CGO_ENABLED=0 go test -tags node -count=1 -timeout 30m -run '^$' -bench . -benchtime 1x \
  -exec "$PWD/build/bin/node-exec" ./functional-tests/bench/memory | tee "$results"
go run ./functional-tests/cmd/memory-report docs <"$results"
sed -n '/^|/p' docs/memory.md
