#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# build.sh all        everything that the test node is made of
# build.sh payload    only what is ours (seconds)
# build.sh PART...    single parts
#
# Every part is cached by a checksum over what goes in (parts/lib.sh), so that
# calling this again costs seconds. Variables that replace parts: KATA_SHIM,
# KATA_AGENT, KATA_CONFIG, CONTAINERD, GUEST_KERNEL (paths).
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
all=(kernel rootfs kata containerd etcd kubernetes guest disk payload)

usage() {
  sed -n 's/^# \{0,1\}//p' "$0" | sed -n '3,12p'
  exit 2
}

(($#)) || usage
if ((EUID != 0)); then
  echo "build.sh: run as root: a Debian root file system has device nodes and other people's files" >&2
  exit 1
fi
started=$SECONDS
wanted=("$@")
[[ $1 == all ]] && wanted=("${all[@]}")
for part in "${wanted[@]}"; do
  [[ -x $here/parts/$part.sh ]] || usage
  "$here/parts/$part.sh"
done
echo "build.sh: ${wanted[*]}: $((SECONDS - started)) s"
