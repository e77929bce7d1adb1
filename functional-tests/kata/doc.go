// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package kata has the functional tests on real containerd, Kata, QEMU and KVM.
// They run inside the test node (build tag node, see functional-tests/README.md).
package kata
