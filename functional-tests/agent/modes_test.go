// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestModes: all that is there while a store exists is for root alone, also
// where a guest image leaves everything to the umask.
func TestModes(t *testing.T) {
	old := unix.Umask(0)
	t.Cleanup(func() { unix.Umask(old) })
	g := newGuest(t)
	marker := agentproto.NewMarker()
	newAttachedDisk(t, marker, gib)
	_, err := g.prepare(marker)
	require.NoError(t, err)
	found := 0
	require.NoError(t, filepath.WalkDir(g.c.HeaderDirectory, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, "%s has mode %s", path, info.Mode())
		found++
		return nil
	}))
	require.GreaterOrEqual(t, found, 3, "the folder, the header, the record")
	info, err := os.Stat("/dev/mapper/" + g.c.Stores[agentproto.ImageStore].Mapping)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o007, "the mapping's node has mode %s", info.Mode())
}
