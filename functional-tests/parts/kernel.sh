#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# Debian's cloud kernel for node and guest: taken out of its package, not
# installed on this machine. Gives build/parts/kernel/{vmlinuz,version,modules/}.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n1)
[[ -n $package ]] || die "apt-cache knows no linux-image-cloud-amd64: run functional-tests/packages.sh, or apt-get update"
version=$(apt-cache policy "$package" | sed -n 's/^ *Candidate: //p')

unpack() {
  local out=$1
  (cd "$out" && apt-get -qq -o APT::Sandbox::User=root download "$package=$version") ||
    die "$package $version can't be had: the package lists may be old, run apt-get update"
  dpkg-deb -x "$out"/*.deb "$out/unpacked"
  ls "$out/unpacked/lib/modules" >"$out/version"
  depmod -b "$out/unpacked" "$(<"$out/version")"
  mv "$out"/unpacked/boot/vmlinuz-* "$out/vmlinuz"
  mv "$out"/unpacked/lib/modules "$out/modules"
  rm -rf "$out"/unpacked "$out"/*.deb
}

part kernel unpack "$package=$version"
