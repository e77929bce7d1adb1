// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxText bounds the file, in bytes. What we write has less than a tenth.
const maxText = 64 << 10

// errDamaged says that the file is not one of ours.
var errDamaged = errors.New("not a file of kata-tes metrics")

// family is a metric with its series. Those that this release does not know
// are kept as they are: the shim of a pod that was started by another release
// shares the file.
type family struct {
	name    string
	headers []string
	samples []sample
}

type sample struct{ series, value string }

// parse reads the part of Prometheus' text format that we write ourselves.
func parse(text string) ([]*family, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("%w: it has more than %d bytes", errDamaged, maxText)
	}
	var all []*family
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			return nil, fmt.Errorf("%w: it ends within the line %.80q", errDamaged, line)
		}
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := header(line); ok {
			name, _, _ := strings.Cut(rest, " ")
			if len(all) == 0 || all[len(all)-1].name != name || len(all[len(all)-1].samples) > 0 {
				all = append(all, &family{name: name})
			}
			last := all[len(all)-1]
			last.headers = append(last.headers, line)
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || len(all) == 0 || !strings.HasPrefix(line, all[len(all)-1].name) {
			return nil, fmt.Errorf("%w: line %.80q", errDamaged, line)
		}
		if _, err := strconv.ParseFloat(line[at+1:], 64); err != nil {
			return nil, fmt.Errorf("%w: the value in line %.80q", errDamaged, line)
		}
		last := all[len(all)-1]
		last.samples = append(last.samples, sample{series: line[:at], value: line[at+1:]})
	}
	return all, nil
}

func header(line string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(line, "# HELP "); ok {
		return rest, ok
	}
	return strings.CutPrefix(line, "# TYPE ")
}

// add counts on top of what is there. Counters of this release that are missing
// are made.
func add(all []*family, events map[string]uint64) []*family {
	for _, c := range counters {
		at := slices.IndexFunc(all, func(f *family) bool { return f.name == c.name })
		if at < 0 {
			at = len(all)
			all = append(all, &family{name: c.name})
		}
		f := all[at]
		f.headers = []string{"# HELP " + c.name + " " + c.help, "# TYPE " + c.name + " counter"}
		for _, series := range c.initial() {
			f.count(series, 0)
		}
		for series, n := range events {
			if series == c.name || strings.HasPrefix(series, c.name+"{") {
				f.count(series, n)
			}
		}
		slices.SortFunc(f.samples, func(a, b sample) int { return strings.Compare(a.series, b.series) })
	}
	return all
}

func (f *family) count(series string, n uint64) {
	at := slices.IndexFunc(f.samples, func(s sample) bool { return s.series == series })
	if at < 0 {
		at = len(f.samples)
		f.samples = append(f.samples, sample{series: series})
	}
	// A value that is no whole number, which only somebody else can have
	// written, starts again.
	before, err := strconv.ParseUint(f.samples[at].value, 10, 64)
	if err != nil {
		before = 0
	}
	f.samples[at].value = strconv.FormatUint(before+n, 10)
}

func format(all []*family) string {
	var text strings.Builder
	for _, f := range all {
		for _, line := range f.headers {
			text.WriteString(line + "\n")
		}
		for _, s := range f.samples {
			text.WriteString(s.series + " " + s.value + "\n")
		}
	}
	return text.String()
}
