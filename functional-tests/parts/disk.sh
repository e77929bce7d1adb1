#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# The node's disk: Debian, the kernel's modules, containerd 2, the Kata shim
# and functional-tests/node-root on top; and the small initial RAM disk that
# mounts it. Gives build/parts/disk/{root.img,initrd}.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# virtio_blk and what it needs, in order; ext4 is built into Debian's kernel.
early_modules=(virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk)

assemble() {
  local out=$1 tree=$1/tree
  # Links, not copies: half a gigabyte. So nothing may be written into a file
  # that is there already, and --remove-destination replaces instead.
  cp -al "$parts/rootfs/root" "$tree"
  mkdir -p "$tree/usr/lib/modules" "$tree/opt/containerd-2" "$tree/opt/kata/bin" "$tree/usr/local/bin"
  cp -al "$parts/kernel/modules/." "$tree/usr/lib/modules/"
  cp -al "$parts/containerd/bin" "$tree/opt/containerd-2/"
  cp -al "$parts/kata/containerd-shim-kata-v2" "$tree/opt/kata/bin/"
  ln -s /opt/kata/bin/containerd-shim-kata-v2 "$tree/usr/local/bin/containerd-shim-kata-v2"
  ln -s /usr/bin/qemu-system-x86_64 "$tree/opt/kata/bin/qemu-system-x86_64"
  cp -r --remove-destination "$tests/node-root/." "$tree/"
  chown -R 0:0 "$tree"/{opt,etc/lvm,etc/cni,etc/ssh}
  rm -f "$tree"/etc/resolv.conf "$tree"/etc/hostname
  printf 'node\n' >"$tree/etc/hostname"
  truncate -s 6G "$out/root.img"
  mkfs.ext4 -q -F -m 0 -O '^has_journal' -E lazy_itable_init=1,nodiscard -d "$tree" "$out/root.img"
  rm -rf "$tree"
  initial_ram_disk "$out"
  du -sh "$out/root.img" "$out/initrd"
}

initial_ram_disk() {
  local out=$1 tree=$1/initrd.tree module version
  version=$(<"$parts/kernel/version")
  mkdir -p "$tree"/{bin,dev,proc,root}
  cp "$parts/rootfs/root/bin/busybox" "$tree/bin/"
  cp "$tests/parts/initrd-init" "$tree/init"
  chmod 755 "$tree/init"
  for module in "${early_modules[@]}"; do
    cp "$(find "$parts/kernel/modules/$version" -name "$module.ko")" "$tree/$module.ko"
  done
  printf '%s\n' "${early_modules[@]}" >"$tree/modules"
  (cd "$tree" && find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) >"$out/initrd"
  rm -rf "$tree"
}

for needed in rootfs kernel containerd kata; do
  [[ -f $parts/$needed/.key ]] || die "build $needed first (functional-tests/build.sh all)"
done
part disk assemble "$tests/node-root" "$tests/parts/initrd-init" \
  "$(key_of rootfs)" "$(key_of kernel)" "$(key_of containerd)" "$(key_of kata)"
