// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import "errors"

var (
	// ErrNoMonitor says that the virtual machine has no monitor of ours, or
	// that its QEMU has ended.
	ErrNoMonitor = errors.New("the virtual machine has no kata-tes monitor")
	// ErrNoGuestAddress says that Kata did not say where its agent listens.
	ErrNoGuestAddress = errors.New("the guest's address is unknown")
	// ErrNoController says that the virtual machine has no place for our disk.
	ErrNoController = errors.New("the virtual machine has no controller for the disk")
	// ErrAttached says that the marker is in use: a marker is for one attach.
	ErrAttached = errors.New("a disk with this marker is attached already")
	// ErrLeftover says that something of a failed attach is still in QEMU.
	// Detach with the same marker must succeed before another Attach can.
	ErrLeftover = errors.New("the attempt could not be undone completely")
	// ErrGuestHolds says that the guest was asked to let go of the disk and has
	// not done so.
	ErrGuestHolds = errors.New("the guest has not let go of the disk")
	// ErrPaused says that a paused QEMU (before 9.1) keeps the host's device
	// open until the virtual machine runs again, whatever it answers.
	ErrPaused = errors.New("the virtual machine is paused")
)
