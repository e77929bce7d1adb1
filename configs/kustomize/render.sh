#!/usr/bin/env bash
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
#
# render.sh FOLDER: writes the manifests for those without Helm, which are the
# chart's with its default values. Called by `make kustomize`, which sets HELM;
# a test compares what is committed.
set -euo pipefail
out=${1:?usage: render.sh FOLDER}
: "${HELM:?is set by make}"
cd "$(dirname "$0")/../.."

# render FILE ARGUMENT...: some of the chart's templates, without the comments
# about where they come from.
render() {
  local file=$1
  shift
  {
    echo "# Written by 'make kustomize' from configs/helm/kata-tes: change that."
    "$HELM" template kata-tes configs/helm/kata-tes --namespace kata-tes "$@" | sed '/^# Source: /d'
  } >"$file"
}

mkdir -p "$out"/{base,install,uninstall}
render "$out/base/node.yaml" --show-only templates/node-rbac.yaml
for action in install uninstall; do
  render "$out/$action/daemonset.yaml" --set "action=$action" --show-only templates/daemonset.yaml
done
