#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# The demo, in a test node of its own (`make demo`).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
root=$PWD
CGO_ENABLED=0 go test -c -tags node -o build/demo.test ./functional-tests/demo
# From the package's folder, as `go test` does: what the demo needs of its node
# is in testdata.
cd functional-tests/demo
exec "$root/build/bin/node-exec" "$root/build/demo.test" -test.run TestDemo -test.timeout 10m
