// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

// Description is what a person, a rule or a dashboard must know of a metric.
type Description struct {
	// Name, for a histogram without _bucket, _sum or _count.
	Name string
	// Kind is "counter" or "histogram".
	Kind, Help string
	// Label is the name of its label, Values are what is there from the start;
	// both are empty where there are none.
	Label  string
	Values []string
}

// Describe describes all metrics, in the files' order.
func Describe() []Description {
	all := make([]Description, 0, len(counters)+len(histograms)+1)
	for _, c := range counters {
		all = append(all, c.describe("counter"))
	}
	for _, h := range histograms {
		all = append(all, h.describe("histogram"))
	}
	return append(all, ForwardedCalls.describe("counter"))
}

func (f family) describe(kind string) Description {
	return Description{Name: f.name, Kind: kind, Help: f.help, Label: f.label, Values: f.values}
}
