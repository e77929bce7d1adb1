#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# binaries.sh OUT: the static binaries of each architecture that is released, in
# OUT/bin/<architecture>/. Called by make, which sets VERSION and LDFLAGS.
#
# The same source gives the same bytes, wherever it lies: -trimpath leaves the
# folder out, and the version comes from the command line, not from the work
# tree's state.
set -euo pipefail
out=${1:?usage: binaries.sh OUT}
: "${VERSION:?is set by make}" "${LDFLAGS:?is set by make}"
cd "$(dirname "$0")/../.."
. configs/release/lib.sh

# Before the minutes that it takes.
version_number "$VERSION" >/dev/null

export CGO_ENABLED=0 GOOS=linux
# The oldest processors that can be meant: Kata's confidential guests need far
# newer ones, but a builder's own setting must not change the bytes.
export GOAMD64=v1 GOARM64=v8.0

for GOARCH in amd64 arm64; do
  export GOARCH
  for folder in cmd/*/; do
    name=$(basename "$folder")
    [[ $name != internal ]] || continue
    echo "go build $name for $GOARCH"
    go build -trimpath -ldflags "$LDFLAGS" -o "$out/bin/$GOARCH/$name" "./cmd/$name"
  done
done
