// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// maxText bounds the file, in bytes, for every release. What we write has about
// a third.
const maxText = 64 << 10

// usualText is what the file has as a rule, in bytes.
const usualText = 24 << 10

// maxValue is the largest number that we count on from: beyond it one more makes
// no difference to a float64, which is what Prometheus has, too.
const maxValue = 1 << 53

// errDamaged says that the file is not one of ours.
var errDamaged = errors.New("not a file of kata-tes metrics")

// metric is one as the file has it. Those that this release does not know
// are kept as they are: the shim of a pod that was started by another release
// shares the file.
type metric struct {
	name    string
	headers []string
	samples []sample
}

type sample struct{ series, value string }

// parse reads the part of Prometheus' text format that we write ourselves.
func parse(content string) ([]*metric, error) {
	if len(content) > maxText {
		return nil, fmt.Errorf("%w: it has more than %d bytes", errDamaged, maxText)
	}
	var all []*metric
	for line := range strings.Lines(content) {
		if !strings.HasSuffix(line, "\n") {
			return nil, fmt.Errorf("%w: it ends within the line %.80q", errDamaged, line)
		}
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := header(line); ok {
			name, _, _ := strings.Cut(rest, " ")
			if len(all) == 0 || all[len(all)-1].name != name || len(all[len(all)-1].samples) > 0 {
				all = append(all, &metric{name: name})
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

// add counts on top of what is there. Metrics of this release that are missing
// are made.
func (f file) add(all []*metric, events map[string]float64) []*metric {
	for _, c := range f.counters {
		m := place(&all, c.family, "counter")
		m.count(c.initial(), nil)
		// The values of a label come as they are met.
		for series, n := range events {
			if series == c.name || strings.HasPrefix(series, c.name+"{") {
				m.count([]string{series}, map[string]float64{series: n})
			}
		}
		slices.SortFunc(m.samples, func(a, b sample) int { return strings.Compare(a.series, b.series) })
	}
	for _, h := range f.histograms {
		// All series are there from the start, in their order.
		m := place(&all, h.family, "histogram")
		if len(m.samples) < h.size() || h.among(events) {
			m.count(h.initial(), events)
		}
	}
	return all
}

// place finds or makes the place of a metric, under this release's headers.
func place(all *[]*metric, f family, kind string) *metric {
	at := slices.IndexFunc(*all, func(m *metric) bool { return m.name == f.name })
	if at < 0 {
		at = len(*all)
		*all = append(*all, &metric{name: f.name})
	}
	m := (*all)[at]
	m.headers = []string{"# HELP " + f.name + " " + f.help, "# TYPE " + f.name + " " + kind}
	return m
}

// count adds to the series, and makes those that are missing.
func (m *metric) count(all []string, events map[string]float64) {
	known := make(map[string]int, len(m.samples))
	for i, s := range m.samples {
		known[s.series] = i
	}
	for _, series := range all {
		at, found := known[series]
		if !found {
			at = len(m.samples)
			m.samples = append(m.samples, sample{series: series, value: "0"})
		}
		n := events[series]
		if n == 0 && found {
			continue
		}
		// A value that no release writes starts again.
		before, err := strconv.ParseFloat(m.samples[at].value, 64)
		if err != nil || math.IsNaN(before) || before < 0 || before > maxValue {
			before = 0
		}
		m.samples[at].value = formatValue(before + n)
	}
}

func format(all []*metric) string {
	var b strings.Builder
	if len(all) > 1 {
		b.Grow(usualText)
	}
	for _, m := range all {
		for _, line := range m.headers {
			b.WriteString(line)
			b.WriteByte('\n')
		}
		for _, s := range m.samples {
			b.WriteString(s.series)
			b.WriteByte(' ')
			b.WriteString(s.value)
			b.WriteByte('\n')
		}
	}
	return b.String()
}
