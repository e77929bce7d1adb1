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
host_binaries=(containerd-shim-kata-tes-v2 kata-tes-qemu kata-tes)
version=$(git -C "$repo" describe --always --dirty 2>/dev/null || echo unknown)

# compile PACKAGE OUTPUT: ours are built as they ship.
compile() {
  go build -C "$repo" -trimpath \
    -ldflags "-s -w -X github.com/kata-tes/kata-tes/cmd/internal/version.Version=$version" -o "$2" "./$1"
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
  mkdir -p "$out"/{bin,guest,images,kata-containers}
  for name in "${host_binaries[@]}"; do
    [[ ! -f $bin/$name ]] || ln "$bin/$name" "$out/bin/"
  done
  guest_image "$out"
  kata_configuration "$out/kata-containers"
  container_images "$out/images"
  mkdir "$out/containerd"
  cp "$repo"/configs/containerd/*.toml "$out/containerd/"
}

# guest_image: an initial RAM disk is a sequence of archives, later files win.
guest_image() {
  local out=$1 tree=$1/tree
  mkdir -p "$tree"/{usr/bin,etc/kata-tes}
  install -m755 "$build/guest/init" "$tree/init"
  install -m755 "$build/guest/pause" "$tree/pause"
  install -m755 "${KATA_AGENT:-$build/guest/standin}" "$tree/usr/bin/kata-agent"
  [[ ! -f $bin/kata-tes-agent ]] || install -m755 "$bin/kata-tes-agent" "$tree/usr/bin/"
  [[ ! -f $repo/configs/guest/agent.toml ]] || install -m644 "$repo/configs/guest/agent.toml" "$tree/etc/kata-tes/"
  (cd "$tree" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) >"$out/guest/ours.cpio"
  cat "$parts/guest/base.cpio" "$out/guest/ours.cpio" >"$out/guest/initrd"
  rm -rf "$tree" "$out/guest/ours.cpio"
  cp "${GUEST_KERNEL:-$parts/kernel/vmlinuz}" "$out/guest/vmlinuz"
}

# kata_configuration: one folder for each handler, each with its drop-ins.
kata_configuration() {
  local out=$1 base=${KATA_CONFIG:-$tests/kata-config/configuration.toml} ours=$repo/configs/kata/50-kata-tes.toml
  configuration "$out" "$ours"
  configuration "$out/blk" "$ours" "$tests/kata-config/60-virtio-blk.toml"
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

container_images() {
  local out=$1 applet links=()
  for applet in sh sleep cat echo true false ls ps id env head tail stty tty dd od sync test expr seq grep kill; do
    links+=("/bin/$applet:busybox")
  done
  "$build/guest/mkimage" -o "$out/pause.tar" -name docker.io/library/pause:latest -cmd /pause "/pause=$build/guest/pause"
  "$build/guest/mkimage" -o "$out/busybox.tar" -name docker.io/library/busybox:latest -cmd sh \
    "/bin/busybox=$parts/rootfs/root/bin/busybox" "${links[@]}"
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
for name in init standin pause mkimage; do
  inputs+=("$build/guest/$name")
done
part payload assemble "${inputs[@]}" "${KATA_AGENT:-standin}" "${GUEST_KERNEL:-debian}" "${KATA_CONFIG:-ours}"
