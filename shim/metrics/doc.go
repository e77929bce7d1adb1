// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package metrics counts and measures for the whole node, in files in Prometheus'
// text format: /run/kata-tes/_metrics/kata-tes.prom, and kata-tes-calls.prom for
// what changes often, for node_exporter's textfile collector.
//
// A port in each pod's shim would be a listener, a client library and a target
// to discover for each pod, for numbers that hardly ever change. So the shims
// share files: whoever has something to count takes the lock, reads, adds,
// and replaces a file by renaming, so that a reader has the old one or the
// new one. The file is in memory and ends with the node's boot, which
// Prometheus knows as a counter's reset.
//
// Counting never delays or fails a Create: Add only notes the event, a
// goroutine of its own brings it to the file, and what goes wrong there is
// logged and tried again with the next event.
package metrics
