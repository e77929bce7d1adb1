#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# The stock Kata Go shim, built from the version of Kata's module that go.mod
# of this repository requires (and go.sum verifies). KATA_SHIM=path takes a
# ready one instead. Gives build/parts/kata/containerd-shim-kata-v2.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

module=github.com/kata-containers/kata-containers/src/runtime

compile() {
  local out=$1 source
  if [[ -n ${KATA_SHIM:-} ]]; then
    install -m755 "$KATA_SHIM" "$out/containerd-shim-kata-v2"
    return
  fi
  # Kata generates one file by its Makefile; the module cache is read-only.
  source=$out/source
  cp -r "$module_dir" "$source"
  chmod -R u+w "$source"
  sed -e 's,@RUNTIME_NAME@,kata-runtime,; s,@PROJECT_NAME@,Kata Containers,; s,@PROJECT_TYPE@,kata,' \
    -e 's,@PROJECT_URL@,https://github.com/kata-containers,; s,@PROJECT_ORG@,kata-containers,' \
    -e 's,@PKGRUNDIR@,/var/run/kata-containers,; s,@COMMIT@,unknown,' \
    -e "s,@VERSION@,$module_version," \
    -e 's,@CONFIG_PATH@,/usr/share/defaults/kata-containers/configuration.toml,' \
    -e 's,@SYSCONFIG@,/etc/kata-containers/configuration.toml,' \
    "$source/pkg/katautils/config-settings.go.in" >"$source/pkg/katautils/config-settings.go"
  if grep -n '@[A-Z_]*@' "$source/pkg/katautils/config-settings.go"; then
    die "Kata's config-settings.go.in has words that this script does not fill in"
  fi
  (cd "$source" && go build -trimpath -ldflags '-s -w' -o "$out/containerd-shim-kata-v2" ./cmd/containerd-shim-kata-v2)
  rm -rf "$source"
}

module_version=$(cd "$repo" && go list -m -f '{{.Version}}' "$module")
if [[ -n ${KATA_SHIM:-} ]]; then
  [[ -x $KATA_SHIM ]] || die "KATA_SHIM=$KATA_SHIM is not an executable file"
else
  (cd "$repo" && go mod download "$module")
  module_dir=$(cd "$repo" && go list -m -f '{{.Dir}}' "$module")
fi
part kata compile "$module_version" "${KATA_SHIM:-built}"
