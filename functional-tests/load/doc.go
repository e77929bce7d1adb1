// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package load starts and ends pods with a trusted store again and again, side
// by side, and at the wrong moment, and looks for what is left behind. It needs
// the test node (build tag node).
package load
