// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package node boots the test node: a virtual machine with Debian's kernel in
// which KVM, vhost-vsock, LVM and device-mapper work, whatever the machine
// below it has. Where that machine has no usable nested virtualization, QEMU
// emulates one.
//
// The node's disk and what goes into it are made by functional-tests/build.sh.
// What runs in the node is the caller's business: a test binary, a command, a
// shell. The package knows one thing about trouble: whether the node itself
// failed (ErrInfrastructure) or what ran in it.
package node
