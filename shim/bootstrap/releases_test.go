// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheProgramIsReplacedUnderAPod: the pod goes on with the process that it
// has. The new program lets containers join it, and cleans up after it, by notes
// that may have more in them than it knows.
func TestTheProgramIsReplacedUnderAPod(t *testing.T) {
	n := newNode(t)
	installed := n.path("containerd-shim-kata-tes-v2")
	n.install(installed)
	n.program = installed
	ours := n.mustStart("sandbox", "sandbox")
	require.Equal(t, ours, n.mustStart("container", "sandbox"))
	serving := n.processes("ours")

	n.install(installed)
	for _, notes := range []string{
		n.path("bundles", "sandbox", recordFile), n.path("bundles", "container", recordFile), n.path("run", "sandbox", "sandbox.json"),
	} {
		addField(t, notes)
	}
	require.Equal(t, ours, n.mustStart("another", "sandbox"))
	require.Equal(t, serving, n.processes("ours"))
	out, err := n.delete("container")
	require.NoError(t, err)
	require.Equal(t, "deleted container", out)
	require.Len(t, n.processes("all"), 2, "the pod lives on")

	_, err = n.delete("sandbox")
	require.NoError(t, err)
	n.awaitNothing("of the pod")
}

// install puts a copy of our program there, by renaming.
func (n *node) install(path string) {
	n.t.Helper()
	self, err := os.Open("/proc/self/exe")
	require.NoError(n.t, err)
	defer func() { require.NoError(n.t, self.Close()) }()
	copied, err := os.OpenFile(path+".new", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o700)
	require.NoError(n.t, err)
	_, err = io.Copy(copied, self)
	require.NoError(n.t, err)
	require.NoError(n.t, copied.Close())
	require.NoError(n.t, os.Rename(path+".new", path))
}

// addField has a JSON file say something that only another release knows.
func addField(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.Replace(text, []byte("{"), []byte(`{"added_later":[1],`), 1), 0o600), filepath.Base(path))
}
