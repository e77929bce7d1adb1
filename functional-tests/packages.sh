#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# Installs the Debian packages that building the test node, booting it and the
# unit tests need. Only what is missing, and it says what.
set -euo pipefail

wanted=(
  # the node: its root file system, its disk, its virtual machine
  mmdebstrap e2fsprogs cpio zstd kmod dpkg qemu-system-x86 ipxe-qemu ca-certificates
  # unit tests that work on this machine's loop devices and on a bare QEMU
  cryptsetup-bin xfsprogs mount util-linux
  # partition tables and compressed archives of guest images
  fdisk xz-utils
  # whether the differences that install prints can be applied
  patch
  # how exposed the guest's unit is (systemd-analyze)
  systemd
  # race detector, lint
  gcc libc6-dev shellcheck
  # the benchmark of a forwarded call
  runc
  # unit tests of alert rules and dashboard, which start their own on a free port
  prometheus
)

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done

lists_missing() { ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; }

if ((${#missing[@]} == 0)) && ! lists_missing; then
  exit 0
fi
if ((EUID != 0)); then
  echo "packages.sh: these Debian packages are missing: ${missing[*]:-none} (package lists: $(lists_missing && echo missing || echo present))" >&2
  echo "packages.sh: run it as root, or run: apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
if lists_missing; then
  echo "packages.sh: fetching Debian's package lists"
  apt-get -qq update
fi
((${#missing[@]})) || exit 0
echo "packages.sh: installing ${missing[*]}"
install_missing() { apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends -y "${missing[@]}" >/dev/null; }
if ! install_missing; then
  echo "packages.sh: once more with fresh package lists"
  apt-get -qq update
  install_missing
fi
