// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package reboot has the functional test of a node that loses its power under
// the proposal's pod. The control plane lives on (build tag node,
// testdata/node.toml).
package reboot
