// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"time"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/output"
)

// Head is the table's first line.
var Head = output.Row{"SANDBOX", "POD", "VOLUME", "MARKER", "STATE", "SIZE", "USED", "PROFILE", "AGE"}

// shortID is how much of a sandbox's id is shown, as crictl does.
const shortID = 13

// Line is a row of the table.
func (r Row) Line(now time.Time) output.Row {
	state := r.State
	if r.Step != "" {
		state += " (" + r.Step + ")"
	}
	volume := ""
	if r.Volume != nil {
		volume = r.Volume.Path
		if volume == "" {
			volume = r.Volume.Number
		}
	}
	line := output.Row{r.short(), r.Name(), volume, r.Marker, state, bytes(r.SizeBytes), bytes(r.UsedBytes), r.Profile, age(r.Age(now))}
	for i, text := range line {
		if text == "" {
			line[i] = "-"
		}
	}
	return line
}

func (r Row) short() string { return fmt.Sprintf("%.*s", shortID, r.Sandbox) }

// Notes are what doesn't fit a table: why a store failed, or why the state or
// the guest's part is unknown.
func (r Row) Notes() []string {
	who := r.Name()
	if who == "" {
		who = r.short()
	}
	var notes []string
	if r.Reason != "" {
		notes = append(notes, fmt.Sprintf("%s: %s: %s", who, r.State, r.Reason))
	}
	if r.GuestProblem != "" {
		notes = append(notes, fmt.Sprintf("%s: guest: %s", who, r.GuestProblem))
	}
	return notes
}

// bytes is short rather than exact: 9.8Gi, 980Mi. JSON has the number.
func bytes(n *uint64) string {
	if n == nil {
		return ""
	}
	value, unit := float64(*n), 0
	units := []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 || value >= 10 {
		return fmt.Sprintf("%.0f%s", value, units[unit])
	}
	return fmt.Sprintf("%.1f%s", value, units[unit])
}

// age is in the largest unit that leaves two digits, as kubectl has it.
func age(d time.Duration) string {
	switch {
	case d < 0:
		return ""
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
