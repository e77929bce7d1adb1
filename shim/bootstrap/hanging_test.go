// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAHangingInnerCommandEndsWithOurs: containerd kills a `delete` that takes
// too long. It kills us, and neither the inner shim's nor the virtual machine,
// which that has not come to, may stay behind.
func TestAHangingInnerCommandEndsWithOurs(t *testing.T) {
	n := newNode(t)
	n.mustStart("sandbox", "sandbox")
	bundle := n.path("bundles", "sandbox")
	machine := newMachine(t)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "-namespace", "ns", "-id", "sandbox", "-bundle", bundle, "delete")
	cmd.Dir, cmd.Env = bundle, append(n.env, "TEST_INNER=delete hangs")
	require.NoError(t, cmd.Start())
	n.await("the inner shim hangs", func() bool { return slices.Contains(n.list("notes"), "delete-sandbox") })
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed
	require.ErrorContains(t, machine.Wait(), "killed")
	n.awaitNothing("delete was killed")
}
