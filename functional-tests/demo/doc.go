// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package demo shows the proposal happening (`make demo`). It is a test, so
// that it cannot go stale: what it shows, it also checks.
package demo
