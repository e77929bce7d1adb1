// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

// Debian has as modules what Kata's guest kernel has built in.
var (
	consoleModules = []string{"virtio_pci", "virtio_console"}

	// bootModules are needed before the agents can be reached.
	bootModules = []string{"virtio_rng", "vmw_vsock_virtio_transport", "virtio_net", "virtio_scsi", "sd_mod", "virtio_blk"}

	// storeModules are needed when a store is prepared. They are loaded
	// beside the agents, so that a pod without a store need not wait.
	storeModules = []string{"dm_mod", "dm_crypt", "dm_integrity", "xts", "ecb", "hmac", "sha256_generic", "authenc", "xfs", "overlay", "loop"}
)
