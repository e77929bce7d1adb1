// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ocispec

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const asking = `{"linux":{"devices":[` + entry + `]}}`

// bundleWith makes a bundle and reads it.
func bundleWith(t *testing.T, text string) (dir string, s *Spec, store *Store) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, configFile), []byte(text), 0o600))
	s, err := Read(dir)
	require.NoError(t, err)
	store, err = s.Store(storePath)
	require.NoError(t, err)
	return dir, s, store
}

func requireContent(t *testing.T, dir, want string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, configFile))
	require.NoError(t, err)
	require.Equal(t, want, string(got))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file is left")
}

func TestRewrite(t *testing.T) {
	dir, s, store := bundleWith(t, asking)
	require.NoError(t, os.Chmod(s.path, 0o640))
	require.NoError(t, s.Rewrite(store))
	requireContent(t, dir, devices(``))

	info, err := os.Stat(s.path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode())

	again, err := Read(dir)
	require.NoError(t, err)
	request, err := again.Store(storePath)
	require.NoError(t, err)
	require.Nil(t, request)
}

func TestRewriteKeepsTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give a file away")
	}
	_, s, store := bundleWith(t, asking)
	require.NoError(t, os.Chown(s.path, 1234, 5678))
	require.NoError(t, s.Rewrite(store))
	info, err := os.Stat(s.path)
	require.NoError(t, err)
	owner, ok := info.Sys().(*syscall.Stat_t)
	require.True(t, ok)
	require.Equal(t, []uint32{1234, 5678}, []uint32{owner.Uid, owner.Gid})
}

// Two calls that read the same file both succeed, whichever writes first.
func TestRewriteTwice(t *testing.T) {
	dir, s, store := bundleWith(t, asking)
	var calls sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		calls.Go(func() { errs[i] = s.Rewrite(store) })
	}
	calls.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	requireContent(t, dir, devices(``))
}

func TestRewriteRefusesAFileThatChanged(t *testing.T) {
	dir, s, store := bundleWith(t, asking)
	changed := `{"hostname":"x","linux":{"devices":[` + entry + `]}}`
	require.NoError(t, os.WriteFile(s.path, []byte(changed), 0o600))
	require.ErrorIs(t, s.Rewrite(store), ErrChanged)
	requireContent(t, dir, changed)
}

func TestRewriteFailsWithoutTraces(t *testing.T) {
	t.Run("the bundle is gone", func(t *testing.T) {
		dir, s, store := bundleWith(t, asking)
		require.NoError(t, os.RemoveAll(dir))
		require.ErrorIs(t, s.Rewrite(store), os.ErrNotExist)
	})
	t.Run("the file can't be replaced", func(t *testing.T) {
		dir := t.TempDir()
		// A folder that isn't empty can't be replaced by a file.
		path := filepath.Join(dir, configFile)
		require.NoError(t, os.MkdirAll(filepath.Join(path, "x"), 0o700))
		require.Error(t, replace(path, []byte(`{}`)))
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1)
	})
}
