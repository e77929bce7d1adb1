// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package agent tests the guest agent extension on a real kernel with real
// cryptsetup, mkfs and mounts, inside the test node (build tag node, started by
// node-exec). The node is the guest here. Its disks are real SCSI disks of the
// kernel's own target (LIO, tcm_loop), plugged in while the tests run.
package agent
