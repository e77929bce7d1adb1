// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package boot is what node-exec and a test in the node agree on about booting
// the node again: the test ends its process with a status of its own, node-exec
// takes the power from the node, boots it on the same disk and runs the test
// binary once more, with the boot's number in the environment.
package boot

const (
	// Variable has the boot's number, from 1.
	Variable = "TES_BOOT"
	// PowerLoss is the exit status that asks for the next boot. `go test` has
	// no use for it, nor has a shell.
	PowerLoss = 77
)
