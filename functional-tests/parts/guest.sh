#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# What the guest has of Debian: kernel modules, busybox, cryptsetup, mkfs and
# the tools that the proposal's listings are made with. What is ours comes on
# top of it (payload.sh), so that a change of ours does not rebuild this.
# Gives build/parts/guest/base.cpio.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

rootfs=$parts/rootfs/root
programs=(
  /sbin/cryptsetup /sbin/dmsetup /sbin/mke2fs /sbin/mkfs.xfs /sbin/blkid /sbin/blockdev
  /usr/sbin/runc /bin/lsblk /bin/mount /bin/umount /bin/findmnt /bin/df /bin/dd /bin/kmod /sbin/integritysetup
)
modules=(
  virtio_pci virtio_console virtio_rng virtio_net vmw_vsock_virtio_transport virtio_scsi sd_mod virtio_blk
  dm_mod dm_crypt dm_integrity dm_verity xts ecb cbc aesni_intel aes_generic
  hmac sha256_generic sha256_ssse3 authenc crc32c_generic xfs overlay loop
)

# files of the programs: themselves and the libraries that they load.
files_of() {
  local program path
  for program in "$@"; do
    path=$(readlink -f "$rootfs$program")
    path=${path#"$rootfs"}
    echo "$path"
    chroot "$rootfs" ldd "$path" 2>/dev/null | sed -n 's/.*[[:space:]]\(\/[^ ]*\) (0x.*/\1/p'
  done | sort -u
}

assemble() {
  local out=$1 tree=$1/tree version file link
  version=$(<"$parts/kernel/version")
  mkdir -p "$tree"/{usr/bin,usr/sbin,usr/lib,usr/lib64,etc,root,dev,proc,sys,run,tmp,var}
  ln -s usr/bin usr/sbin usr/lib usr/lib64 "$tree/"
  ln -s ../run "$tree/var/run"

  # Process 1 starts before the console's driver is loaded: a Go program whose
  # standard streams are closed needs /dev/null to start at all.
  mknod -m 600 "$tree/dev/console" c 5 1
  mknod -m 666 "$tree/dev/null" c 1 3

  # Through the links of the merged /usr: the file lands where the name says.
  for file in $(files_of "${programs[@]}"); do
    mkdir -p "$tree$(dirname "$file")"
    cp -L "$rootfs$file" "$tree$file"
  done
  for link in modprobe insmod lsmod; do
    ln -s ../bin/kmod "$tree/usr/sbin/$link"
  done
  ln -s mke2fs "$tree/usr/sbin/mkfs.ext4"

  cp "$rootfs/bin/busybox" "$tree/usr/bin/busybox"
  for file in $(chroot "$rootfs" /bin/busybox --list-full); do
    file=$tree/usr/${file#usr/}
    [[ -e $file || -L $file ]] || { mkdir -p "${file%/*}" && ln -s /usr/bin/busybox "$file"; }
  done

  printf 'root:x:0:0:root:/root:/bin/sh\n' >"$tree/etc/passwd"
  printf 'root:x:0:\n' >"$tree/etc/group"
  printf 'guest\n' >"$tree/etc/hostname"
  cp "$rootfs/etc/mke2fs.conf" "$tree/etc/"

  copy_modules "$version" "$tree"
  (cd "$tree" && find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) >"$out/base.cpio"
  du -sh "$out/base.cpio"
  rm -rf "$tree"
}

# copy_modules VERSION TREE: the modules and what they depend on.
copy_modules() {
  local version=$1 tree=$2 module file root=$2/.kernel
  mkdir -p "$root/lib"
  ln -s "$parts/kernel/modules" "$root/lib/modules"
  for module in "${modules[@]}"; do
    modprobe -d "$root" -S "$version" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
  done | sort -u | while read -r file; do
    file=${file#"$root/lib/modules/"}
    mkdir -p "$tree/usr/lib/modules/$(dirname "$file")"
    cp "$parts/kernel/modules/$file" "$tree/usr/lib/modules/$file"
  done
  rm -rf "$root"
  # What is built in must be known as such, or modprobe calls it missing.
  cp "$parts/kernel/modules/$version"/modules.{builtin,builtin.modinfo,order} "$tree/usr/lib/modules/$version/"
  depmod -b "$tree" "$version"
}

[[ -f $parts/rootfs/.key && -f $parts/kernel/.key ]] || die "build rootfs and kernel first"
part guest assemble "$(key_of rootfs)" "$(key_of kernel)"
