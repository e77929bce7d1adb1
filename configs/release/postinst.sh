#!/bin/sh
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
set -e
# Said at each installation and upgrade: the node runs what 'kata-tes install'
# put into place, not what the package has.
if [ "$1" = configure ]; then
  echo "kata-tes: nothing on this node has been changed yet; next: kata-tes install --help"
fi
