// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qmptest

import "sync"

// Kind is what a Proxy does, once, when the command of its Fault comes by.
type Kind string

// The kinds. Whoever waits for the answer of a lost command or for a lost answer
// waits until its own deadline.
const (
	// LoseCommand: QEMU never gets it.
	LoseCommand Kind = "lose the command"
	// LoseAnswer: QEMU has carried it out, and nobody hears of it.
	LoseAnswer Kind = "lose the answer"
	// HangUp: the same, and the connection ends.
	HangUp Kind = "hang up instead of answering"
	// Refuse: QEMU never gets it, and the client is told no.
	Refuse Kind = "refuse the command"
	// Late: QEMU gets it when the client has given up, as one that hung would.
	Late Kind = "carry the command out when the client has gone"
	// HoldBefore: nothing happens until Resume, then all goes on.
	HoldBefore Kind = "hold the command"
	// HoldAfter: QEMU has carried it out; its answer waits for Resume.
	HoldAfter Kind = "hold the answer"
)

// Refusal is what a refused client reads.
const Refusal = "not in this test"

// Fault says which command is disturbed, and how.
type Fault struct {
	// Command is its name; the Nth of that name is meant, from 1 (0 is 1).
	Command string
	Nth     int
	Kind    Kind
	// Do, if any, is called when the command has come, before it is passed on.
	Do func()

	reached, resumed chan struct{}
	resume           sync.Once
	// id is the command's, once it has come.
	id uint64
	// answered is closed when QEMU has answered it.
	answered chan struct{}
}

// NewFault makes one for Proxy.Arm.
func NewFault(command string, nth int, kind Kind) *Fault {
	return &Fault{
		Command: command, Nth: max(nth, 1), Kind: kind,
		reached: make(chan struct{}), resumed: make(chan struct{}), answered: make(chan struct{}),
	}
}

// Reached is closed when the fault has happened, which for HoldAfter is when
// QEMU has answered. A test that never met its fault proves nothing.
func (f *Fault) Reached() <-chan struct{} { return f.reached }

// Happened says whether Reached is closed.
func (f *Fault) Happened() bool {
	select {
	case <-f.reached:
		return true
	default:
		return false
	}
}

// Resume ends a hold; on others, and a second time, it does nothing.
func (f *Fault) Resume() { f.resume.Do(func() { close(f.resumed) }) }
