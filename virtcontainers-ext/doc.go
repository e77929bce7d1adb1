// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package vcext is what the shim extension does with Kata's virtual machine:
// find its monitor and the guest's address, hotplug a block device with a
// marker, take it out again, list what is there.
//
// It keeps no state: what is attached is what QEMU says is attached, so that a
// lost answer or a lost process never leaves a wrong belief behind. Whether a
// device may be attached, and what the guest does with it, is left to callers.
//
// Beside Kata: our monitor is a second one (qemuwrap), ids of ours begin with
// "tes-", and our disk has an address that Kata never hands out.
package vcext
