#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# Debian's etcd for the control plane: taken out of its package, because an
# installed one starts a service on this machine. Gives build/parts/etcd/bin/etcd.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

package=etcd-server
version=$(apt-cache policy "$package" | sed -n 's/^ *Candidate: //p')
[[ -n $version ]] || die "apt-cache knows no $package: run functional-tests/packages.sh, or apt-get update"

unpack() {
  local out=$1
  (cd "$out" && apt-get -qq -o APT::Sandbox::User=root download "$package=$version") ||
    die "$package $version can't be had: the package lists may be old, run apt-get update"
  dpkg-deb -x "$out"/*.deb "$out/unpacked"
  mv "$out/unpacked/usr/bin" "$out/bin"
  rm -rf "$out/unpacked" "$out"/*.deb
  "$out/bin/etcd" --version | head -n 1
}

part etcd unpack "$package=$version"
