// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build race

package intercept

// raceDetector says whether the test binary has it.
const raceDetector = true
