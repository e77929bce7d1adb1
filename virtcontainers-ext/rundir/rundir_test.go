// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package rundir

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	sid    = strings.Repeat("0123456789abcdef", 4)
	sample = Sandbox{Hypervisor: "/opt/kata/bin/qemu", InnerShim: "/opt/kata/bin/shim", ConfigPath: "/opt/kata/c.toml"}
)

// shortRoot is a folder with a path short enough for a socket below it.
func shortRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rd")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return filepath.Join(dir, "r")
}

func TestCreateLoadRemove(t *testing.T) {
	root := shortRoot(t)
	_, err := Load(root, sid)
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, Remove(root, sid), "nothing there yet")

	require.NoError(t, Create(root, sid, sample))
	got, err := Load(root, sid)
	require.NoError(t, err)
	require.Equal(t, sample, got)
	for path, mode := range map[string]fs.FileMode{"": 0o711, sid: 0o700, sid + "/sandbox.json": 0o600} {
		st, err := os.Stat(filepath.Join(root, path))
		require.NoError(t, err)
		require.Equal(t, mode, st.Mode().Perm(), path)
	}

	second := sample
	second.Hypervisor = "/other"
	require.NoError(t, os.WriteFile(MonitorPath(root, sid), nil, 0o600))
	require.NoError(t, Create(root, sid, second), "a second time")
	got, err = Load(root, sid)
	require.NoError(t, err)
	require.Equal(t, second, got)
	require.FileExists(t, MonitorPath(root, sid))

	require.NoError(t, Remove(root, sid))
	require.NoError(t, Remove(root, sid), "twice")
	require.NoDirExists(t, filepath.Join(root, sid))
	_, err = Load(root, sid)
	require.ErrorIs(t, err, ErrNotFound)
}

func TestBadIDs(t *testing.T) {
	root := shortRoot(t)
	for _, id := range []string{"", ".", "..", "a/b", "../etc", "/abs", "a\x00b", "a\nb", "-a", ".a", "a..b", metricsFolder, strings.Repeat("a", 77)} {
		require.ErrorIs(t, Create(root, id, sample), ErrBadID, "%q", id)
		_, err := Load(root, id)
		require.ErrorIs(t, err, ErrBadID, "%q", id)
		require.ErrorIs(t, Remove(root, id), ErrBadID, "%q", id)
	}
	require.NoDirExists(t, root, "a refused id must leave nothing")
}

func TestNoSymbolicLinksFollowed(t *testing.T) {
	root, victim := shortRoot(t), t.TempDir()
	keep := filepath.Join(victim, "keep")
	require.NoError(t, os.WriteFile(keep, []byte("x"), 0o600))

	require.NoError(t, os.Symlink(victim, root))
	require.ErrorContains(t, Create(root, sid, sample), "not a folder")
	require.ErrorContains(t, Remove(root, sid), "not a folder")
	require.NoError(t, os.Remove(root))

	require.NoError(t, os.Mkdir(root, 0o700))
	require.NoError(t, os.Symlink(victim, filepath.Join(root, sid)))
	require.ErrorContains(t, Create(root, sid, sample), "not a folder")
	_, err := Load(root, sid)
	require.ErrorContains(t, err, "not a folder")
	require.NoError(t, Remove(root, sid), "the link goes, not what it names")
	require.FileExists(t, keep)
	entries, err := os.ReadDir(victim)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestPlantedFileIsNotWrittenThrough(t *testing.T) {
	root, victim := shortRoot(t), filepath.Join(t.TempDir(), "victim")
	require.NoError(t, os.WriteFile(victim, []byte("x"), 0o600))
	require.NoError(t, os.MkdirAll(filepath.Join(root, sid), 0o700))
	for _, name := range []string{"sandbox.json", "sandbox.json.new"} {
		require.NoError(t, os.Symlink(victim, filepath.Join(root, sid, name)))
	}
	require.NoError(t, Create(root, sid, sample))
	content, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "x", string(content))
}

func TestWritableByOthersIsRefused(t *testing.T) {
	root := shortRoot(t)
	require.NoError(t, Create(root, sid, sample))
	require.NoError(t, os.Chmod(filepath.Join(root, sid), 0o777))
	_, err := Load(root, sid)
	require.ErrorContains(t, err, "chmod")
	require.ErrorContains(t, Create(root, sid, sample), "chmod")
	require.NoError(t, Remove(root, sid))

	require.NoError(t, os.Chmod(root, 0o777))
	require.ErrorContains(t, Create(root, sid, sample), "chmod")
}

func TestSocketPathsFit(t *testing.T) {
	require.LessOrEqual(t, len(MonitorPath(Root, strings.Repeat("a", maxID))), maxSocketPath)
	long := filepath.Join(t.TempDir(), strings.Repeat("l", 100))
	require.ErrorContains(t, Create(long, sid, sample), "107 bytes")
	require.NoDirExists(t, long)
}

func TestDamagedDescription(t *testing.T) {
	root := shortRoot(t)
	require.NoError(t, Create(root, sid, sample))
	file := filepath.Join(root, sid, "sandbox.json")
	for name, content := range map[string]string{
		"parsing":     `{"hypervisor":`,
		"larger than": strings.Repeat(" ", maxSandboxFile+1),
	} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		_, err := Load(root, sid)
		require.ErrorContains(t, err, name)
	}
	require.NoError(t, os.WriteFile(file, []byte(`{"hypervisor":"/h","added_later":1}`), 0o600))
	got, err := Load(root, sid)
	require.NoError(t, err)
	require.Equal(t, "/h", got.Hypervisor)
}

// The metrics are for everybody, the sandboxes' folders are not.
func TestMetrics(t *testing.T) {
	root := shortRoot(t)
	require.NoError(t, os.Mkdir(root, 0o700), "as an earlier release made it")
	for range 2 {
		dir, err := OpenMetrics(root)
		require.NoError(t, err)
		require.NoError(t, dir.WriteFile("f", []byte("x"), 0o644))
		require.NoError(t, dir.Close())
	}
	require.NoError(t, Create(root, sid, sample))
	for path, mode := range map[string]fs.FileMode{root: 0o711, MetricsPath(root): 0o755, filepath.Join(root, sid): 0o700} {
		st, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, st.Mode().Perm(), path)
	}
	require.NoError(t, Remove(root, sid))
	require.FileExists(t, filepath.Join(MetricsPath(root), "f"))
}

func TestMetricsInAForeignFolder(t *testing.T) {
	root, victim := shortRoot(t), t.TempDir()
	require.NoError(t, os.Mkdir(root, 0o711))
	require.NoError(t, os.Symlink(victim, MetricsPath(root)))
	_, err := OpenMetrics(root)
	require.ErrorContains(t, err, "not a folder")
	require.NoError(t, os.Remove(MetricsPath(root)))
	require.NoError(t, os.Chmod(root, 0o777))
	_, err = OpenMetrics(root)
	require.ErrorContains(t, err, "chmod")
	require.NoDirExists(t, MetricsPath(root))
}

// What is below the root and no sandbox's folder is none: the metrics, files,
// links, names that no sandbox has.
func TestList(t *testing.T) {
	root := filepath.Join(t.TempDir(), "kata-tes")
	ids, err := List(root)
	require.NoError(t, err)
	require.Empty(t, ids, "no sandbox was ever started")

	require.NoError(t, Create(root, "b", Sandbox{}))
	require.NoError(t, Create(root, "a", Sandbox{}))
	metrics, err := OpenMetrics(root)
	require.NoError(t, err)
	require.NoError(t, metrics.Close())
	require.NoError(t, os.WriteFile(filepath.Join(root, "file"), nil, 0o600))
	require.NoError(t, os.Symlink("a", filepath.Join(root, "link")))
	require.NoError(t, os.Mkdir(filepath.Join(root, "-x"), 0o700))
	ids, err = List(root)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, ids)

	_, err = List(filepath.Join(root, "file"))
	require.Error(t, err)
}
