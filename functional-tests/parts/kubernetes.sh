#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# Kubernetes, at the version that kubernetes/go.mod pins: the control plane for
# this machine, kubelet and kubectl for the node. About five minutes on two
# cores, once. Gives build/parts/kubernetes/bin/.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

compile() {
  local out=$1 version major minor name
  mkdir "$out/bin"
  cd "$tests/parts/kubernetes"
  version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
  IFS=. read -r major minor _ <<<"${version#v}"
  # The version is what the kubelet reports, and what kubectl compares.
  for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl; do
    say "go build $name"
    go build -trimpath -o "$out/bin/" -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version \
      -X k8s.io/component-base/version.gitMajor=$major -X k8s.io/component-base/version.gitMinor=$minor" \
      "k8s.io/kubernetes/cmd/$name"
  done
}

part kubernetes compile "$tests/parts/kubernetes/go.mod" "$tests/parts/kubernetes/go.sum"
