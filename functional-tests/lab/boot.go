// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"os"
	"strconv"
	"testing"

	"github.com/kata-tes/kata-tes/functional-tests/boot"
)

// Boot says which boot of this node's disk it is, from 1.
func Boot(t testing.TB) int {
	t.Helper()
	NeedNode(t)
	number, err := strconv.Atoi(os.Getenv(boot.Variable))
	if err != nil {
		t.Fatalf("%s=%q: node-exec tells a test which boot it is", boot.Variable, os.Getenv(boot.Variable))
	}
	return number
}

// LosePower ends the test here and now, with everything running, takes the
// power from the node, and runs the test binary from its beginning in the next
// boot. Nothing is cleaned up: that is the point. The package's
// testdata/node.toml has to allow another boot.
func LosePower(t testing.TB) {
	t.Helper()
	t.Logf("boot %d ends: the node loses its power", Boot(t))
	os.Exit(boot.PowerLoss)
}
