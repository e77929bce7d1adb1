#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# A Debian root file system with everything that node and guest take from
# Debian. Gives build/parts/rootfs/root/. The node's disk is made of it; the
# guest gets single programs out of it.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# From where this machine itself has its packages.
# shellcheck disable=SC2016 # apt-get fills these in
own_mirror() {
  apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^bookworm //p' | sort -u | head -n 1
}

mirror=${DEBIAN_MIRROR:-$(own_mirror)}
[[ -n $mirror ]] || die "this machine's package lists have no Debian bookworm; set DEBIAN_MIRROR to a mirror's address"
packages=(
  # container runtime and network
  containerd runc containernetworking-plugins iproute2 iptables
  # virtual machines
  qemu-system-x86 ipxe-qemu
  # volumes, and what the guest formats with
  lvm2 dmsetup cryptsetup-bin e2fsprogs xfsprogs
  # for the guest's unit
  systemd
  # where the guest pulls images from
  docker-registry
  # a usable system
  kmod procps util-linux mount socat openssh-server busybox-static ca-certificates strace
)

bootstrap() {
  local out=$1 list
  list=$(
    IFS=,
    echo "${packages[*]}"
  )
  # shellcheck disable=SC2016 # $1 is for mmdebstrap's shell
  mmdebstrap --quiet --variant=minbase --include="$list" \
    --setup-hook='mkdir -p "$1/etc/dpkg/dpkg.cfg.d"' \
    --setup-hook='printf "path-exclude=/usr/share/%s/*\n" doc locale man info >"$1/etc/dpkg/dpkg.cfg.d/small"' \
    --aptopt='APT::Install-Recommends "false"' \
    bookworm "$out/root" "$mirror"
  rm -rf "$out"/root/var/cache/apt "$out"/root/var/lib/apt/lists
}

part rootfs bootstrap "$mirror"
