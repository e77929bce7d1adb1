// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// inPackage makes a package's folder the current one, with that node.toml.
func inPackage(t *testing.T, nodeToml string) {
	t.Helper()
	t.Chdir(t.TempDir())
	require.NoError(t, os.MkdirAll(filepath.Dir(needsFile), 0o755))
	require.NoError(t, os.WriteFile(needsFile, []byte(nodeToml), 0o644))
	for _, variable := range []string{"NODE_MEMORY", "NODE_DISKS", "NODE_CONTROL_PLANE"} {
		t.Setenv(variable, "")
	}
}

func TestPackageSaysWhatItNeeds(t *testing.T) {
	inPackage(t, "control_plane = true\nmemory = 6144\nboots = 2\n")
	j, err := parse([]string{"/tmp/reboot.test", "-test.v"})
	require.NoError(t, err)
	require.True(t, j.cluster)
	require.Equal(t, 6144, j.config.MemoryMiB)
	require.Equal(t, 2, j.boots)
	require.True(t, j.config.KeepDisk, "the second boot finds what the first one left")

	t.Setenv("NODE_MEMORY", "8192")
	j, err = parse([]string{"/tmp/reboot.test"})
	require.NoError(t, err)
	require.Equal(t, 8192, j.config.MemoryMiB, "who runs the tests knows better")
}

func TestPackageNeedsNothing(t *testing.T) {
	inPackage(t, "")
	require.NoError(t, os.Remove(needsFile))
	j, err := parse([]string{"/tmp/kata.test"})
	require.NoError(t, err)
	require.False(t, j.cluster)
	require.Equal(t, 1, j.boots)
	require.False(t, j.config.KeepDisk)
}

func TestNeedsThatNobodyKnowsAreRefused(t *testing.T) {
	for _, text := range []string{"control_plain = true\n", "memory = \"much\"\n", "boots = -1\n", "memory = -1\n", "boots"} {
		inPackage(t, text)
		_, err := parse([]string{"/tmp/kata.test"})
		require.ErrorContains(t, err, needsFile, text)
	}
}
