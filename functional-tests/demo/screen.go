// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// screen is what a person watches: what is done, as it would be typed, what
// that printed, and how long it took.
type screen struct {
	out     io.Writer
	started time.Time
}

// heading says what comes next.
func (s screen) heading(format string, args ...any) {
	fmt.Fprintf(s.out, "\n# %s\n", fmt.Sprintf(format, args...))
}

// note is a sentence between the outputs.
func (s screen) note(format string, args ...any) {
	fmt.Fprintf(s.out, "  (%s)\n", fmt.Sprintf(format, args...))
}

// run shows a command at a prompt, runs it, and shows its output and its time.
func (s screen) run(prompt, command string, run func() (string, error)) (string, error) {
	fmt.Fprintf(s.out, "%s%s\n", prompt, command)
	began := time.Now()
	output, err := run()
	if text := strings.TrimRight(output, "\n"); text != "" {
		fmt.Fprintln(s.out, text)
	}
	if err != nil {
		return output, fmt.Errorf("%s: %w", command, err)
	}
	s.note("%.1f s; %.0f s since the node was booted", time.Since(began).Seconds(), time.Since(s.started).Seconds())
	return output, nil
}
