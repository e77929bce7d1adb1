// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import "time"

// Step is a part of a preparation and how long it took.
type Step struct {
	Name string
	Took time.Duration
}

// FailedError is why a preparation failed, and how far it came.
type FailedError struct {
	Err error
	// Steps are those that were begun; the last one failed.
	Steps []Step
}

func (e *FailedError) Error() string { return e.Err.Error() }

func (e *FailedError) Unwrap() error { return e.Err }

// stopwatch measures steps one after the other.
type stopwatch struct {
	began time.Time
	steps []Step
}

// begin ends the step before.
func (w *stopwatch) begin(name string) {
	w.stop()
	w.steps = append(w.steps, Step{Name: name})
}

// stop ends the last step and gives all of them.
func (w *stopwatch) stop() []Step {
	now := time.Now()
	if last := len(w.steps) - 1; last >= 0 {
		w.steps[last].Took += now.Sub(w.began)
	}
	w.began = now
	return w.steps
}
