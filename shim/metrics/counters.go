// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import "strconv"

// family is a metric of this release: a name with its series.
type family struct {
	name, help string
	// label is the name of its one label; empty where it has none.
	label string
	// values are those of the label that are there from the start, so that the
	// first event is an increase.
	values []string
}

// Counter is a number of events on this node since it booted.
type Counter struct{ family }

// What is counted. A new counter is a variable here and a place in counters.
var (
	StoresPrepared = Counter{family{
		name: "kata_tes_stores_prepared_total",
		help: "Trusted stores that were made ready on this node.",
	}}
	// PreparedBytes are the sizes of the host's devices: a guest's word for its
	// store is no number of the node's.
	PreparedBytes = Counter{family{
		name: "kata_tes_stores_prepared_bytes_total",
		help: "Sizes of the block devices that trusted stores were made of on this node, in bytes.",
	}}
	// StoresRefused has the reason as its label. Which error is which, package
	// intercept says; all of them are there from the start, because one event of
	// some is worth an alert.
	StoresRefused = Counter{family{
		name: "kata_tes_stores_refused_total", label: "reason", values: reasons,
		help: "Containers that asked for a trusted store and were refused, retries included.",
	}}
	// LateStores has what was done about it: the value of late_store.
	LateStores = Counter{family{
		name: "kata_tes_late_stores_total", label: "action", values: []string{"warn", "refuse"},
		help: "Pods that asked for their trusted store after another of their containers had been created.",
	}}
	// ForwardedCalls is counted by Node.Forwarded alone.
	ForwardedCalls = Counter{family{
		name: "kata_tes_forwarded_calls_total",
		help: "Calls of containerd's that were forwarded to Kata's shims, up to a minute late.",
	}}
)

// counters are all but ForwardedCalls, which has a file of its own.
var counters = []Counter{StoresPrepared, PreparedBytes, StoresRefused, LateStores}

var reasons = []string{
	"aliased", "canceled", "changed", "deadline", "in_use", "internal", "late", "lookalike", "malformed", "missing",
	"no_agent", "no_answer", "no_controller", "no_monitor", "not_block", "not_exact", "not_ready", "on_sandbox",
	"other_device", "protocol", "read_only", "sandbox_ends", "too_small", "twice", "uneven",
	"guest_already_exists", "guest_canceled", "guest_data_loss", "guest_deadline", "guest_failed_precondition",
	"guest_internal", "guest_invalid_argument", "guest_not_found",
}

// labels are the label's pair for a value, as it is written; empty for a family
// without a label.
func (f family) labels(value string) string {
	if f.label == "" {
		return ""
	}
	return f.label + "=" + strconv.Quote(value)
}

// series is the counter's name with the label's value, as it is written.
func (c Counter) series(value string) string { return join(c.name, c.labels(value)) }

// initial are the series that begin with 0.
func (c Counter) initial() []string {
	if c.label == "" {
		return []string{c.name}
	}
	var all []string
	for _, value := range c.values {
		all = append(all, c.series(value))
	}
	return all
}

// join is a name with labels, as it is written.
func join(name, labels string) string {
	if labels == "" {
		return name
	}
	return name + "{" + labels + "}"
}
