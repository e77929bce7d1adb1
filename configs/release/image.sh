#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# image.sh OUT [NAME]: the container image, for all architectures, of the
# binaries in OUT/bin (binaries.sh) as an OCI layout in OUT/image; with NAME
# (registry.example.com/kata-tes:v1.2.3), pushed there too. Called by make, which
# sets VERSION.
set -euo pipefail
out=$(realpath "${1:?usage: image.sh OUT [NAME]}")
: "${VERSION:?is set by make}"
cd "$(dirname "$0")/../.."
. configs/release/lib.sh

created=$(source_date)
number=$(version_number "$VERSION")
push=()
if [[ -n ${2:-} ]]; then
  # What is published can be built again from its commit by anybody.
  if [[ $VERSION == *-dirty ]]; then
    echo "make image: the work tree has changes that are not committed: commit them before you push" >&2
    exit 1
  fi
  push=(-push "$2")
fi
go run ./cmd/internal/ociimage -binaries "$out/bin" -layout "$out/image" -version "$number" -created "$created" "${push[@]}"
