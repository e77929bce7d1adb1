// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package create measures what Create of a container with a trusted store
// takes, step by step, on a real pod in the test node (`make bench`).
package create
