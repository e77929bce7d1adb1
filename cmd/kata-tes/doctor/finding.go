// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
)

// Outcome is what came of a check.
type Outcome string

// The outcomes.
const (
	// OK: nothing is wrong.
	OK Outcome = "ok"
	// Warning: it works, but perhaps not as it is meant.
	Warning Outcome = "warning"
	// Wrong: it must be mended.
	Wrong Outcome = "wrong"
	// Unknown: the check could not be made.
	Unknown Outcome = "unknown"
)

// Finding is what a check found.
type Finding struct {
	// Subject is what was looked at: the node, containerd, a handler, a sandbox.
	Subject string  `json:"subject"`
	Check   string  `json:"check"`
	Outcome Outcome `json:"outcome"`
	// Detail is what was found.
	Detail string `json:"detail"`
	// Remedy is what to do; empty where nothing is wrong.
	Remedy string `json:"remedy,omitempty"`
}

// Findings are all of them.
type Findings []Finding

// Count is how many have an outcome.
func (f Findings) Count(o Outcome) int {
	n := 0
	for _, finding := range f {
		if finding.Outcome == o {
			n++
		}
	}
	return n
}

// AllWell says whether nothing is wrong or unknown.
func (f Findings) AllWell() bool { return f.Count(Wrong)+f.Count(Unknown) == 0 }

// problem is a check's error with an outcome of its own, or a remedy that fits
// better than the check's. Any other error is Wrong.
type problem struct {
	outcome Outcome
	remedy  string
	text    string
}

func (p problem) Error() string { return p.text }

// wrongf is what is wrong, with its own remedy.
func wrongf(remedy, format string, args ...any) error {
	return problem{Wrong, remedy, fmt.Sprintf(format, args...)}
}

// warnf is what should be known, with what can be done.
func warnf(remedy, format string, args ...any) error {
	return problem{Warning, remedy, fmt.Sprintf(format, args...)}
}

// unknownf is why a check could not be made.
func unknownf(remedy, format string, args ...any) error {
	return problem{Unknown, remedy, fmt.Sprintf(format, args...)}
}

// finding of a check whose look ended so.
func (c check) finding(detail string, err error) Finding {
	f := Finding{Subject: c.subject, Check: c.name, Outcome: OK, Detail: detail}
	if err == nil {
		return f
	}
	f.Outcome, f.Detail, f.Remedy = Wrong, err.Error(), c.remedy
	var p problem
	if errors.As(err, &p) {
		f.Outcome = p.outcome
		if p.remedy != "" {
			f.Remedy = p.remedy
		}
	}
	return f
}
