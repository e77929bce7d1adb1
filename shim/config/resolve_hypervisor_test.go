// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// kata-tes-qemu must work for sandboxes of others where no inner shim is.
func TestDefaultHypervisorNeedsNoInnerShim(t *testing.T) {
	empty := root(t.TempDir())
	f := &File{path: DefaultPath, system: empty}
	found, err := f.DefaultHypervisor()
	require.NoError(t, err)
	require.Empty(t, found)

	qemu := filepath.Join(string(empty), "usr/bin/qemu-system-x86_64")
	require.NoError(t, os.MkdirAll(filepath.Dir(qemu), 0o755))
	require.NoError(t, os.WriteFile(qemu, nil, 0o755))
	found, err = f.DefaultHypervisor()
	require.NoError(t, err)
	require.Equal(t, qemu, found)

	f.defaults.Hypervisor = "/nowhere/qemu"
	_, err = f.DefaultHypervisor()
	require.ErrorContains(t, err, `key "hypervisor"`)
}
