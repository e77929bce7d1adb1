// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import "strconv"

// Counter is a number of events on this node since it booted.
type Counter struct {
	name, help string
	// label is the name of its one label; empty where it has none.
	label string
	// values are those of the label that are there from the start, so that the
	// first event is an increase.
	values []string
}

// What is counted. A new counter is a variable here and a place in counters.
var (
	StoresPrepared = Counter{
		name: "kata_tes_stores_prepared_total",
		help: "Trusted stores that were made ready on this node.",
	}
	// StoresRefused has the reason as its label: those of package intercept.
	StoresRefused = Counter{
		name: "kata_tes_stores_refused_total", label: "reason",
		help: "Containers that asked for a trusted store and were refused, retries included.",
	}
	// LateStores has what was done about it: the value of late_store.
	LateStores = Counter{
		name: "kata_tes_late_stores_total", label: "action", values: []string{"warn", "refuse"},
		help: "Pods that asked for their trusted store after another of their containers had been created.",
	}
)

var counters = []Counter{StoresPrepared, StoresRefused, LateStores}

// series is the counter's name with the label's value, as it is written.
func (c Counter) series(value string) string {
	if c.label == "" {
		return c.name
	}
	return c.name + "{" + c.label + "=" + strconv.Quote(value) + "}"
}

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
