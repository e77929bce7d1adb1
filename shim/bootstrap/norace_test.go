// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package bootstrap

// raceDetector says whether the test binary, which is the shim as well, has it.
const raceDetector = false
