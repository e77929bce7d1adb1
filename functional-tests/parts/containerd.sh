#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# containerd 2.x, its runc shim and ctr, at the version that go.mod beside this
# script pins. CONTAINERD=path takes a ready containerd instead (its runc shim
# and ctr still come from the module). containerd 1.6 is Debian's, in the root
# file system. Gives build/parts/containerd/bin/.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

module=github.com/containerd/containerd/v2

compile() {
  local out=$1 version
  mkdir "$out/bin"
  cd "$tests/parts"
  version=$(go list -m -f '{{.Version}}' "$module")
  go build -trimpath -ldflags "-s -w -X $module/version.Version=${version#v}" -o "$out/bin/" \
    "$module/cmd/containerd" "$module/cmd/containerd-shim-runc-v2" "$module/cmd/ctr"
  if [[ -n ${CONTAINERD:-} ]]; then
    install -m755 "$CONTAINERD" "$out/bin/containerd"
  fi
}

if [[ -n ${CONTAINERD:-} ]]; then
  [[ -x $CONTAINERD ]] || die "CONTAINERD=$CONTAINERD is not an executable file"
fi
part containerd compile "$tests/parts/go.mod" "$tests/parts/go.sum" "${CONTAINERD:-built}"
