// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package trace writes OpenTelemetry spans of what the shim does on Create, for
// the whole node into one file: /run/kata-tes/_traces/kata-tes.jsonl, a line of
// OTLP's JSON for each Create, as OpenTelemetry's file exporter writes it and
// the collector's otlpjsonfile receiver reads it.
//
// OpenTelemetry's SDK would cost each pod's shim more than its whole memory aim,
// and needs a connection to a collector for each pod. What is needed of it is
// little: containerd says with each call which trace it belongs to (package
// traceparent), and whether anybody records it. Our spans hang below
// containerd's, and the guest's below ours: the guest has no way to a collector
// and none to trust, so it says how long its steps took, and the host writes
// that down for it, within the bounds of the call.
//
// Tracing never delays or fails a Create: spans are noted, a goroutine of its
// own brings them to the file, and what can't be written is lost. A nil Recorder
// and a nil Span do nothing, so that nobody has to ask whether traces are on.
package trace
