// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"time"

	"github.com/kata-tes/kata-tes/shim/report"
)

// Unknown is the state of a store whose process doesn't tell. The other states
// are package shim/store's.
const Unknown = "unknown"

// Row is a sandbox and its store. What nobody told is empty.
type Row struct {
	Sandbox   string `json:"sandbox"`
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	// Volume is the host's block device.
	Volume *Volume `json:"volume,omitempty"`
	Marker string  `json:"marker,omitempty"`
	State  string  `json:"state"`
	// Step is where a preparation is.
	Step string `json:"step,omitempty"`
	// Reason is why a store failed, or why the state is unknown, and what to do.
	Reason string `json:"reason,omitempty"`
	// SizeBytes and UsedBytes are the file system's, as the guest says.
	SizeBytes *uint64 `json:"size_bytes,omitempty"`
	UsedBytes *uint64 `json:"used_bytes,omitempty"`
	Profile   string  `json:"profile,omitempty"`
	// GuestProblem is why the guest's part is missing or not to be relied upon.
	GuestProblem string `json:"guest_problem,omitempty"`
	// Since is when the store came into its state.
	Since *time.Time `json:"since,omitempty"`
	// Shim is the version of the sandbox's process.
	Shim string `json:"shim,omitempty"`
	// Err is why the state is Unknown: one of package report's.
	Err error `json:"-"`
}

// Volume is a block device of the host.
type Volume struct {
	// Number is "major:minor".
	Number string `json:"number"`
	// Path is the name by which people know it, /dev/mapper/vg-lv; empty where
	// the host doesn't know the number any more.
	Path string `json:"path,omitempty"`
	// SizeBytes is the device's.
	SizeBytes uint64 `json:"size_bytes,omitempty"`
}

// Name is what a person calls the pod: namespace/name. Empty where nobody told.
func (r Row) Name() string {
	if r.Pod == "" {
		return ""
	}
	return r.Namespace + "/" + r.Pod
}

// Age is how long the store is in its state; negative where nobody told.
func (r Row) Age(now time.Time) time.Duration {
	if r.Since == nil {
		return -1
	}
	return max(0, now.Sub(*r.Since))
}

// fill takes what the sandbox's process told.
func (r *Row) fill(told report.Sandbox, volume func(number string) Volume) {
	s := told.Store
	r.Shim, r.Marker, r.State, r.Step, r.Reason = told.Shim, s.Marker, s.State, s.Step, s.Reason
	if told.Pod != "" {
		r.Namespace, r.Pod = told.Namespace, told.Pod
	}
	if s.Device != "" {
		v := volume(s.Device)
		r.Volume = &v
	}
	if !s.Since.IsZero() {
		r.Since = &s.Since
	}
	g := s.Guest
	if g == nil {
		return
	}
	r.Profile, r.GuestProblem = g.Profile, g.Problem
	if g.Problem == "" {
		r.SizeBytes, r.UsedBytes = &g.SizeBytes, &g.UsedBytes
	}
}
