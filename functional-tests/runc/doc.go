// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package runc has the functional tests of the shim in front of an inner shim
// that needs no virtual machine, containerd-shim-runc-v2: each action beside
// the same action without us, on each containerd. What a user sees must be
// equal. They run inside the test node (build tag node, see
// functional-tests/README.md).
package runc
