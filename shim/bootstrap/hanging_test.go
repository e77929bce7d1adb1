// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAHangingInnerCommandEndsWithOurs: containerd kills a `delete` that takes
// too long. It kills us, and the inner shim's must not stay behind, nor the
// virtual machine that it was to end.
func TestAHangingInnerCommandEndsWithOurs(t *testing.T) {
	n := newNode(t)
	n.mustStart("sandbox", "sandbox")
	// As Kata starts it. It ends by itself, unkilled, when the test fails.
	machine := exec.Command("sh", "-c", "for i in $(seq 200); do sleep 0.1; done", "qemu", "-name", "sandbox-sandbox")
	require.NoError(t, machine.Start())
	self, err := os.Executable()
	require.NoError(t, err)
	bundle := n.path("bundles", "sandbox")
	cmd := exec.Command(self, "-namespace", "ns", "-id", "sandbox", "-bundle", bundle, "delete")
	cmd.Dir, cmd.Env = bundle, append(n.env, "TEST_INNER=delete hangs")
	require.NoError(t, cmd.Start())
	n.await("the inner shim hangs", func() bool { return slices.Contains(n.list("notes"), "delete-sandbox") })
	require.NoError(t, machine.Process.Signal(syscall.Signal(0)), "not before the inner shim had its chance")
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed
	require.ErrorContains(t, machine.Wait(), "killed")
	n.awaitNothing("delete was killed")
}
