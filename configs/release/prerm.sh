#!/bin/sh
# Copyright (c) 2026 The kata-tes Authors
# SPDX-License-Identifier: Apache-2.0
set -e
# The package may go while the node stays set up: its copies are in use, and
# only the operator knows when pods may do without.
if [ "$1" = remove ]; then
  echo "kata-tes: a node that 'kata-tes install' has set up stays so; take it out by 'kata-tes uninstall' before the package goes"
fi
