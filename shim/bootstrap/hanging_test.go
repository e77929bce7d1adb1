// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAHangingInnerCommandEndsWithOurs: containerd kills a `delete` that takes
// too long. It kills us, and the inner shim's must not stay behind.
func TestAHangingInnerCommandEndsWithOurs(t *testing.T) {
	n := newNode(t)
	bundle := n.bundle("sandbox", "sandbox")
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "-namespace", "ns", "-id", "sandbox", "-bundle", bundle, "delete")
	cmd.Dir, cmd.Env = bundle, append(n.env, "TEST_INNER=delete hangs")
	require.NoError(t, cmd.Start())
	n.await("the inner shim hangs", func() bool { return len(n.list("notes")) == 1 })
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed
	n.awaitNothing("delete was killed")
}
