#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# release.sh OUT: what is published, from the binaries in OUT/bin (binaries.sh):
# for each architecture a tarball, a Debian package and a bill of materials of
# each binary; the Helm chart; SHA256SUMS of all. Called by make, which sets
# VERSION and where the tools NFPM and CYCLONEDX are. docs/releasing.md says how
# to release.
set -euo pipefail
out=$(realpath "${1:?usage: release.sh OUT}")
: "${VERSION:?is set by make}" "${NFPM:?is set by make}" "${CYCLONEDX:?is set by make}"
cd "$(dirname "$0")/../.."
. configs/release/lib.sh

# One moment for every file in every archive, or two builds would differ.
SOURCE_DATE_EPOCH=$(source_date)
export SOURCE_DATE_EPOCH
number=$(version_number "$VERSION")

# bills ARCH FOLDER: what each binary is made of, read from the binary itself.
bills() {
  local arch=$1 folder=$2 binary
  mkdir -p "$folder"
  for binary in "$out/bin/$arch"/*; do
    # Neither a random serial number nor the time of day; the standard library
    # counts, since vulnerabilities are found in it too.
    "$CYCLONEDX" bin -json -noserial -notimestamp -std -version "v$number" \
      -output "$folder/$(basename "$binary").cdx.json" "$binary"
  done
}

# changelog: Debian wants one; what changed is in the release's notes.
changelog() {
  printf 'kata-tes (%s) unstable; urgency=medium\n\n  * Release %s, built from its source by make release.\n\n' "$(deb_version "$number")" "$VERSION"
  printf ' -- The kata-tes Authors <kata-tes@users.noreply.github.com>  %s\n' "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
}

# words FOLDER: man pages and shell completions, which the program makes itself.
words() {
  local folder=$1 shell
  mkdir -p "$folder/completions" "$folder/man"
  go run ./cmd/internal/manuals -version "$VERSION" -date "$SOURCE_DATE_EPOCH" "$folder/man"
  gzip -9 -n "$folder/man"/*
  changelog | gzip -9 -n >"$folder/changelog.gz"
  for shell in bash zsh fish; do
    go run ./cmd/kata-tes completion "$shell" >"$folder/completions/kata-tes.$shell"
  done
}

# tarball ARCH FOLDER: binaries, configuration and documents, to unpack anywhere.
tarball() {
  local arch=$1 common=$2 name=kata-tes-$number-linux-$1 tree
  tree=$work/$name
  mkdir -p "$tree/bin"
  cp "$out/bin/$arch"/* "$tree/bin/"
  cp -r "$common/completions" "$common/man" "$work/sbom-$arch" "$tree/"
  mv "$tree/sbom-$arch" "$tree/sbom"
  cp -r LICENSE README.md docs "$tree/"
  mkdir "$tree/configs"
  cp -r configs/{containerd,guest,kata,kata-tes,kubernetes,kustomize,observability} "$tree/configs/"
  rm "$tree/configs/kustomize/render.sh"
  # As the chart names it.
  sed -i "s/0\.0\.0/${number//+/_}/" "$tree"/configs/kustomize/*/*.yaml
  archive "$work" "$name" "$out/$name.tar.gz"
}

# deb ARCH FOLDER: the same for Debian and Ubuntu, by nfpm.yaml.
deb() {
  local arch=$1 common=$2
  mkdir -p "$work/deb-$arch"
  VERSION=$(deb_version "$number") ARCH=$arch BIN=$out/bin/$arch COMMON=$common SBOM=$work/sbom-$arch \
    "$NFPM" package --config configs/release/nfpm.yaml --packager deb --target "$work/deb-$arch"
  mv "$work/deb-$arch"/*.deb "$out/"
}

# chart: the Helm chart, at this release's version.
chart() {
  local tree=$work/chart/kata-tes
  mkdir -p "$work/chart"
  cp -r configs/helm/kata-tes "$tree"
  sed -i "s/^version: .*/version: $number/; s/^appVersion: .*/appVersion: \"$number\"/" "$tree/Chart.yaml"
  archive "$work/chart" kata-tes "$out/kata-tes-chart-$number.tgz"
}

work=$(mktemp -d "$out/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
rm -f "$out"/*.tar.gz "$out"/*.tgz "$out"/*.deb "$out"/*.cdx.json "$out/SHA256SUMS"

echo "man pages and completions"
words "$work/common"
for arch in amd64 arm64; do
  echo "tarball, Debian package and bills of materials for $arch"
  bills "$arch" "$work/sbom-$arch"
  tarball "$arch" "$work/common"
  deb "$arch" "$work/common"
  for bill in "$work/sbom-$arch"/*; do
    cp "$bill" "$out/$(basename "$bill" .cdx.json)-$number-linux-$arch.cdx.json"
  done
done
echo "Helm chart"
chart
cd "$out"
sha256sum ./*.tar.gz ./*.tgz ./*.deb ./*.cdx.json | sed 's# \./# #' >SHA256SUMS
