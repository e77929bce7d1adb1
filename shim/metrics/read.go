// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// ErrNone says that nobody has counted on this node since it booted.
var ErrNone = errors.New("there are no metrics on this node yet")

// Read is what the node's files have, as it is, for who wants to look at it. The errors are
// ErrNone and that of a file that is damaged.
func Read(root string) (string, error) {
	path := rundir.MetricsPath(root)
	dir, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNone
	}
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	defer func() { _ = dir.Close() }() // nothing was written
	var all string
	for _, name := range []string{FileName, CallsFileName} {
		content, err := read(dir, name)
		if err != nil {
			return "", err
		}
		if _, err := parse(content); err != nil {
			return "", fmt.Errorf("reading %s: %w; the next event begins a new one", filepath.Join(path, name), err)
		}
		all += content
	}
	if all == "" {
		return "", ErrNone
	}
	return all, nil
}

// Value is one series of a counter, or all those of a histogram for one value of
// its label.
type Value struct {
	Metric string `json:"metric"`
	// Label is that as it is written, `reason="in_use"`; empty without one.
	Label string `json:"label,omitempty"`
	// Count is how many events there were; of bytes, how many of those.
	Count float64 `json:"count"`
	// Seconds are a histogram's sum, nil for a counter.
	Seconds *float64 `json:"seconds,omitempty"`
}

// Values are those of this release's metrics in a file, in its order.
func Values(content string) ([]Value, error) {
	all, err := parse(content)
	if err != nil {
		return nil, err
	}
	var values []Value
	for _, d := range Describe() {
		at := slices.IndexFunc(all, func(m *metric) bool { return m.name == d.Name })
		if at >= 0 {
			values = append(values, all[at].values(d.Kind)...)
		}
	}
	return values, nil
}

func (m *metric) values(kind string) []Value {
	var values []Value
	sums := map[string]float64{}
	for _, s := range m.samples {
		name, labels, _ := strings.Cut(s.series, "{")
		labels = strings.TrimSuffix(labels, "}")
		value, _ := strconv.ParseFloat(s.value, 64) // parse has looked at it
		switch {
		case kind == "counter" || name == m.name+"_count":
			values = append(values, Value{Metric: m.name, Label: labels, Count: value})
		case name == m.name+"_sum":
			sums[labels] = value
		}
	}
	for i := range values {
		if sum, found := sums[values[i].Label]; found {
			values[i].Seconds = &sum
		}
	}
	return values
}
