// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package config

import "time"

// Settings are the answers for one sandbox, complete and checked.
type Settings struct {
	// InnerShim is the stock shim behind ours, an absolute path.
	InnerShim string
	// Hypervisor is the real QEMU that kata-tes-qemu executes, an absolute
	// path. Empty when none was named and none was found: then a sandbox
	// that asks for a store cannot have it, and all others run.
	Hypervisor string
	// DevicePath is the path in the container that asks for the store.
	DevicePath string
	// MinimumSize is the smallest usable disk, in bytes.
	MinimumSize uint64
	// LateStore is what to do when another container came before the store.
	LateStore LateStore
	// LogLevel is a name that logrus knows.
	LogLevel string
	Timeouts Timeouts
}

// LateStore is what to do about a store that is asked for after another
// container of the pod has been created, whose image is in guest memory.
type LateStore string

const (
	// LateWarn says so in the log and in the metrics, and prepares the store.
	LateWarn LateStore = "warn"
	// LateRefuse refuses the store, and so all of the pod's further containers.
	LateRefuse LateStore = "refuse"
)

// Timeouts bound the steps of Create, and how long a disk may hang.
type Timeouts struct {
	// Find is for the sandbox's monitor and guest address to appear.
	Find time.Duration
	// Attach is for the hotplug.
	Attach time.Duration
	// Prepare is for the guest: find, encrypt, format, mount.
	Prepare time.Duration
	// Undo is for taking everything back after a failure.
	Undo time.Duration
	// HungDisk is how long the store's disk may answer nothing after a container
	// was killed, until the virtual machine is ended.
	HungDisk time.Duration
}

func builtin() Settings {
	return Settings{
		DevicePath: DefaultDevicePath,
		// LUKS2 without a header on the disk has 16 MiB of offset; below
		// this size hardly anything would be left for an image.
		MinimumSize: 64 << 20,
		LateStore:   LateWarn,
		LogLevel:    "info",
		// Together less than the two minutes after which the kubelet gives
		// up by default, so that the user reads our reason and not
		// "context deadline exceeded": "find" counts for each of three steps
		// (the host's device, the machine, the guest's version), "undo" for
		// the hotplug's own undo as well.
		Timeouts: Timeouts{
			Find:    10 * time.Second,
			Attach:  10 * time.Second,
			Prepare: 45 * time.Second,
			Undo:    15 * time.Second,
			// Half of the kubelet's patience, so that its first attempt to stop
			// the container succeeds; longer than a path takes that is
			// established again.
			HungDisk: time.Minute,
		},
	}
}
