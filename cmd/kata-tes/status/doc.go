// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package status gathers what `kata-tes status` shows: each sandbox of this
// node that our shim has started, and what became of its store. The sandbox's
// own process says so (package shim/report); a process that hangs, has ended or
// is too old to answer is a row that says that, after a limit of its own, so
// that nobody waits longer because of a neighbour.
package status
