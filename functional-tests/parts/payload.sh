#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# What changes often: our binaries, the guest image with them, Kata's
# configuration, container images. node-exec makes a small disk of it for each
# boot, so that a change of ours costs seconds. KATA_AGENT=path puts a real
# kata-agent into the guest, GUEST_KERNEL=path another kernel under it,
# KATA_CONFIG=path replaces Kata's configuration. Gives build/parts/payload/.
#
# KATA_TES_PARTIAL=1 leaves out programs of ours that do not compile, and says
# so. Without it that is an error.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

bin=$build/bin
busybox=$parts/rootfs/root/bin/busybox
# MiB; the last one is larger than a guest's memory (kata-config).
image_sizes=(32 64 128 256 544)
host_binaries=(containerd-shim-kata-tes-v2 kata-tes-qemu kata-tes)
version=$(git -C "$repo" describe --always --dirty 2>/dev/null || echo unknown)

# compile PACKAGE OUTPUT: ours are built as they ship.
compile() {
  local package=github.com/kata-tes/kata-tes/cmd/internal/version
  go build -C "$repo" -trimpath \
    -ldflags "-s -w -X $package.Version=$version -X $package.mark=[kata-tes-version:$version]" -o "$2" "./$1"
}

# product NAME: one of cmd/.
product() {
  if [[ ! -d $repo/cmd/$1 ]]; then
    say "cmd/$1 does not exist: the node goes without it"
    rm -f "$bin/$1"
  elif ! compile "cmd/$1" "$bin/$1"; then
    [[ ${KATA_TES_PARTIAL:-} == 1 ]] || die "cmd/$1 does not compile"
    say "cmd/$1 does not compile: the node goes without it"
    rm -f "$bin/$1"
  fi
}

compile_all() {
  local name
  mkdir -p "$bin" "$build/guest"
  for name in "${host_binaries[@]}" kata-tes-agent; do
    product "$name"
  done
  for name in init standin pause; do
    compile "functional-tests/guest/$name" "$build/guest/$name"
  done
  compile functional-tests/cmd/mkimage "$build/guest/mkimage"
  compile functional-tests/cmd/node-exec "$bin/node-exec"
}

assemble() {
  local out=$1 name
  mkdir -p "$out"/{bin,guest,kata-containers}
  for name in "${host_binaries[@]}"; do
    [[ ! -f $bin/$name ]] || ln "$bin/$name" "$out/bin/"
  done
  guest_image "$out"
  kata_configuration "$out/kata-containers"
  cp -al "$parts/images/archives" "$out/images"
  cp -al "$parts/images/registry" "$parts/images/registry-more" "$out/"
  mkdir "$out/containerd"
  cp "$repo"/configs/containerd/*.toml "$out/containerd/"
  # What a user applies to a cluster.
  cp -r "$repo/configs/kubernetes" "$out/manifests"
  # For the test of the guest's unit, in the node's systemd.
  mkdir "$out/unit"
  [[ ! -f $bin/kata-tes-agent ]] || ln "$bin/kata-tes-agent" "$out/unit/"
  cp "$repo"/configs/guest/* "$out/unit/"
  mkdir "$out/tdx"
  cp "$tests"/tdx/{check.sh,second.yaml} "$repo/configs/kubernetes/trusted_store_cc.yaml" "$out/tdx/"
}

# guest_image: an initial RAM disk is a sequence of archives, later files win.
guest_image() {
  local out=$1 tree=$1/tree
  mkdir -p "$tree"/{usr/bin,etc/kata-tes}
  install -m755 "$build/guest/init" "$tree/init"
  cp -r "$tests/guest/root/." "$tree/"
  mkdir "$tree/pause_bundle/rootfs"
  install -m755 "$build/guest/pause" "$tree/pause_bundle/rootfs/pause"
  install -m755 "${KATA_AGENT:-$build/guest/standin}" "$tree/usr/bin/kata-agent"
  [[ ! -f $bin/kata-tes-agent ]] || install -m755 "$bin/kata-tes-agent" "$tree/usr/bin/"
  [[ ! -f $repo/configs/guest/agent.toml ]] || install -m644 "$repo/configs/guest/agent.toml" "$tree/etc/kata-tes/"
  (cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) >"$out/guest/ours.cpio"
  cat "$parts/guest/base.cpio" "$out/guest/ours.cpio" >"$out/guest/initrd"
  rm -rf "$tree" "$out/guest/ours.cpio"
  # For tests that run it without a guest.
  [[ ! -f $bin/kata-tes-agent ]] || ln "$bin/kata-tes-agent" "$out/guest/"
  cp "${GUEST_KERNEL:-$parts/kernel/vmlinuz}" "$out/guest/vmlinuz"
}

# kata_configuration: one folder for each handler, each with its drop-ins.
kata_configuration() {
  local out=$1 base=${KATA_CONFIG:-$tests/kata-config/configuration.toml} ours=$repo/configs/kata/50-kata-tes.toml
  configuration "$out" "$ours"
  configuration "$out/blk" "$ours" "$tests/kata-config/60-virtio-blk.toml"
  configuration "$out/integrity" "$ours" "$tests/kata-config/60-integrity.toml"
  configuration "$out/no-agent" "$ours" "$tests/kata-config/60-no-agent.toml"
  configuration "$out/stock"
}

# configuration FOLDER DROP-IN...
configuration() {
  local folder=$1
  shift
  mkdir -p "$folder/config.d"
  cp "$base" "$folder/configuration-qemu-tdx.toml"
  (($# == 0)) || cp "$@" "$folder/config.d/"
}

# container_images: archives for containerd, layouts for the registry (what
# every test needs, and what some ask for). A part of its own: changes of ours
# do not touch it.
container_images() {
  local out=$1 applet size busybox_files
  # What an image has that its host must not find on the volume.
  printf 'marker of the busybox image: %s\n' "$(sha256sum <"$build/guest/mkimage" | cut -c1-32)" >"$out/marker"
  busybox_files=("/bin/busybox=$busybox" "/etc/marker=$out/marker")
  for applet in sh sleep cat echo true false ls ps id env head tail stty tty dd od sync test expr seq grep kill sha256sum hostname; do
    busybox_files+=("/bin/$applet:busybox")
  done
  mkdir "$out/archives"
  image registry pause -archive "$out/archives/pause.tar" -cmd /pause "/pause=$build/guest/pause"
  image registry busybox -archive "$out/archives/busybox.tar" "${busybox_files[@]}"
  for size in "${image_sizes[@]}"; do
    image registry-more "large-$size" "${busybox_files[@]}" ++ "/pattern=pattern:${size}M" "/pattern.sha256=sum:${size}M:/pattern"
  done
}

# image LAYOUT NAME ARGUMENT...
image() {
  local layout=$1 name=$2
  shift 2
  "$build/guest/mkimage" -layout "$out/$layout" -name "docker.io/library/$name:latest" "$@"
}

for variable in KATA_AGENT GUEST_KERNEL KATA_CONFIG; do
  [[ -z ${!variable:-} || -f ${!variable} ]] || die "$variable=${!variable} is not a file"
done
[[ -f $parts/guest/.key ]] || die "build guest first (functional-tests/build.sh all)"
compile_all
inputs=("$(key_of guest)" "$(key_of kernel)" "$tests/kata-config" "$repo/configs")
for name in "${host_binaries[@]}" kata-tes-agent; do
  inputs+=("$name=$(checksum "$bin/$name")")
done
for name in init standin pause; do
  inputs+=("$build/guest/$name")
done
part images container_images "$build/guest/mkimage" "$build/guest/pause" "$busybox"
inputs+=("$(key_of images)" "$tests/guest/root" "$tests/tdx/check.sh" "$tests/tdx/second.yaml")
part payload assemble "${inputs[@]}" "${KATA_AGENT:-standin}" "${GUEST_KERNEL:-debian}" "${KATA_CONFIG:-ours}"
