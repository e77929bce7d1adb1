// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package lab is what functional tests use inside the test node: containerd
// under their control, a CRI client that sends what the kubelet sends, real
// logical volumes, a shell in a pod's guest, and a check that nothing is left
// behind. It runs as root, in the node that functional-tests/node boots.
//
// Helpers that take a testing.TB end the test when they fail and clean up when
// it ends. Those that a test may want to see failing take a context and return
// an error.
package lab

import (
	"os"
	"testing"
)

// Logs is the folder in the node that is kept when something failed:
// containerd's messages and the consoles of guests.
const Logs = "/var/log/tes"

// payload is where the node has what is ours (functional-tests/parts).
const payload = "/opt/tes"

// NeedNode skips a test that does not run in the test node.
func NeedNode(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(payload + "/boot/host_key"); err != nil {
		t.Skip("needs the test node: run it by `make functional`, or with -exec build/bin/node-exec")
	}
	if err := os.MkdirAll(Logs, 0o755); err != nil {
		t.Fatal(err)
	}
}
