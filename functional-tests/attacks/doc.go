// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package attacks is a host that lies to a real guest. The tests (build tag
// node) take the shim's place: they hotplug disks of their own, with any marker
// and in any order, and send any bytes to the guest's agent extension.
//
// What they try is data (Table), from which docs/threat-model.md has its table;
// `go test ./functional-tests/attacks -update` writes it.
package attacks
