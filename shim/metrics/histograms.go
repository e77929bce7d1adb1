// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Histogram is how long something took on this node since it booted.
type Histogram struct{ family }

// bounds are the upper ends of the buckets in seconds, from a step on fast
// hardware to beyond every time limit. They are the same for all histograms and
// never change under a name: shims of different releases add to the same
// buckets. Other bounds are another metric.
var bounds = []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120}

// What is measured, of what succeeded: what fails is counted by its reason, and
// a pod that is refused every ten seconds would be all that a distribution shows.
var (
	PreparationDuration = Histogram{family{
		name: "kata_tes_preparation_duration_seconds",
		help: "Time from the request for a trusted store until it was ready.",
	}}
	StepDuration = Histogram{family{
		name: "kata_tes_preparation_step_duration_seconds", label: "step",
		values: []string{"open", "find", "version", "attach", "prepare", "rewrite", "undo"},
		help:   "Time that a step of Create took on the host; prepare is the call to the guest.",
	}}
	// GuestStepDuration is what guests say: bounded by the call, and by these
	// names.
	GuestStepDuration = Histogram{family{
		name: "kata_tes_guest_step_duration_seconds", label: "step",
		values: []string{"find", "verify", "format", "open", "check", "mkfs", "mount"},
		help:   "Time that a step of a store's preparation took in the guest, by the guest's own account.",
	}}
)

var histograms = []Histogram{PreparationDuration, StepDuration, GuestStepDuration}

// knows says whether the label may have that value. A series for each word that
// a guest invents would fill the file.
func (h Histogram) knows(value string) bool {
	return h.label == "" && value == "" || slices.Contains(h.values, value)
}

// series are all of them for a value of the label, in the order of the text
// format: the buckets by their bounds, sum, count.
func (h Histogram) series(value string) []string {
	labels := h.labels(value)
	before := labels
	if before != "" {
		before += ","
	}
	all := make([]string, 0, len(bounds)+3)
	for _, bound := range bounds {
		all = append(all, join(h.name+"_bucket", before+`le="`+formatValue(bound)+`"`))
	}
	return append(all, join(h.name+"_bucket", before+`le="+Inf"`), join(h.name+"_sum", labels), join(h.name+"_count", labels))
}

// initial are the series that begin with 0.
func (h Histogram) initial() []string {
	if h.label == "" {
		return h.series("")
	}
	var all []string
	for _, value := range h.values {
		all = append(all, h.series(value)...)
	}
	return all
}

// size is how many series begin with 0.
func (h Histogram) size() int { return max(1, len(h.values)) * (len(bounds) + 3) }

// among says whether there are events of the histogram.
func (h Histogram) among(events map[string]float64) bool {
	for series := range events {
		if strings.HasPrefix(series, h.name+"_bucket") {
			return true
		}
	}
	return false
}

// observe adds one observation to what is pending.
func (h Histogram) observe(pending map[string]float64, value string, took time.Duration) {
	seconds := max(0, took.Seconds())
	all := h.series(value)
	for i, bound := range bounds {
		if seconds <= bound {
			pending[all[i]]++
		}
	}
	infinity, sum, count := len(bounds), len(bounds)+1, len(bounds)+2
	pending[all[infinity]]++
	pending[all[sum]] += seconds
	pending[all[count]]++
}

// formatValue writes a number as every release reads it: without an exponent,
// a whole one without a point.
func formatValue(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
