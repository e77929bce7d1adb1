#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# What the project measures, each with both sides in one run (`make bench`):
# a forwarded call and our memory (on this machine, in front of runc's shim),
# the steps of Create (a real pod in the test node), and Prepare at three sizes
# beside the commands of CoCo's CDH (in the node's own kernel).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
parts=$PWD/build/parts

echo "== a forwarded call, and the memory of our process"
CGO_ENABLED=0 go build -o build/bin/forward ./functional-tests/bench/forward
build/bin/forward -shim "$PWD/build/bin/containerd-shim-kata-tes-v2" \
  -inner "$parts/rootfs/root/usr/bin/containerd-shim-runc-v2" -busybox "$parts/rootfs/root/bin/busybox"

# in_node PACKAGE FLAGS...: the benchmarks of a package, once, in a fresh node.
in_node() {
  local package=$1
  shift
  CGO_ENABLED=0 go test -tags node -count=1 -timeout 30m -run '^$' -bench . -benchtime 1x \
    -exec "$PWD/build/bin/node-exec" "$@" "./functional-tests/bench/$package"
}

echo "== the steps of Create"
in_node create

echo "== Prepare beside CDH's commands"
NODE_DISKS="serial=tes-0000000000000001,size=1G,bus=scsi serial=tes-0000000000000016,size=16G,bus=scsi serial=tes-0000000000000064,size=64G,bus=scsi" \
  in_node prepare
