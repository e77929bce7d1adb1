// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"github.com/stretchr/testify/require"
)

// trees are nodes as they are found: see testdata. Chosen are handlers of them.
var trees = map[string]struct {
	config string
	chosen []string
}{
	"containerd-1.6": {"/etc/containerd/config.toml", []string{"kata-qemu-tdx"}},
	"containerd-1.7": {"/etc/containerd/config.toml", []string{"kata-qemu-tdx", "kata-qemu-snp"}},
	"containerd-2.0": {"/etc/containerd/config.toml", []string{"kata-qemu-tdx", "kata-qemu-tdx-runtime-rs"}},
	"containerd-2.2": {"/etc/containerd/config.toml", []string{"kata-qemu-tdx"}},
	"distribution":   {"/etc/containerd/config.toml", []string{"kata"}},
	"version-1":      {"/etc/containerd/config.toml", []string{"kata-qemu"}},
	"k3s":            {"/var/lib/rancher/k3s/agent/etc/containerd/config.toml", []string{"kata-qemu-tdx"}},
}

// nodePrograms are the programs of the trees; what is in them is of no interest.
var nodePrograms = []string{
	"/usr/bin/containerd", "/usr/bin/qemu-system-x86_64", "/usr/bin/containerd-shim-kata-v2",
	"/opt/kata/bin/containerd-shim-kata-v2", "/opt/kata/runtime-rs/bin/containerd-shim-kata-v2",
	"/opt/kata/bin/qemu-system-x86_64", "/opt/kata/bin/qemu-system-x86_64-tdx-experimental", "/opt/kata/bin/cloud-hypervisor",
}

// newNode copies a tree and gives it its programs.
func newNode(t *testing.T, tree string) string {
	t.Helper()
	root := inMemory(t)
	require.NoError(t, os.CopyFS(root, os.DirFS(filepath.Join("testdata", tree))))
	for _, name := range nodePrograms {
		put(t, filepath.Join(root, name), "program", 0o755)
	}
	for _, dir := range []string{"/usr/local/bin", "/var/lib", "/run"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	// Modes and a name that have to come back.
	require.NoError(t, os.Chmod(filepath.Join(root, trees[tree].config), 0o640))
	put(t, filepath.Join(root, "/usr/local/bin/other"), "of somebody else", 0o711)
	return root
}

// inMemory is a folder in which fsync takes no time: there are thousands.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "kata-tes-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func put(t *testing.T, name, content string, mode fs.FileMode) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	require.NoError(t, os.Chmod(name, mode))
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(parts...))
	require.NoError(t, err)
	return string(content)
}

// ourPrograms is a folder as it is delivered.
func ourPrograms(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range programs {
		put(t, filepath.Join(dir, name), name+" "+version, 0o755)
	}
	return dir
}

func options(t *testing.T, root string, handlers ...string) Options {
	t.Helper()
	return Options{Root: root, Handlers: handlers, From: ourPrograms(t, "1"), BinDir: DefaultBinDir, Version: "1"}
}

// everything is all names below a folder, with what they are.
func everything(t *testing.T, root string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content := ""
		switch {
		case info.Mode().IsRegular():
			content = read(t, name)
		case info.Mode()&fs.ModeSymlink != 0:
			content, err = os.Readlink(name)
		}
		all[name[len(root):]] = fmt.Sprintf("%s %s", info.Mode(), content)
		return err
	})
	require.NoError(t, err)
	return all
}

// same compares what everything gave; only what differs is shown.
func same(t *testing.T, want, have map[string]string) {
	t.Helper()
	var differences []string
	for name := range want {
		if have[name] != want[name] {
			differences = append(differences, fmt.Sprintf("%s\n  wanted: %.300q\n  there:  %.300q", name, want[name], have[name]))
		}
	}
	for name := range have {
		if _, wanted := want[name]; !wanted {
			differences = append(differences, fmt.Sprintf("%s\n  wanted: nothing\n  there:  %.300q", name, have[name]))
		}
	}
	require.Empty(t, differences)
}

// discover looks at the node as it is.
func discover(t *testing.T, root string) *node.Node {
	t.Helper()
	tree, err := node.Open(root)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tree.Close()) })
	found, err := node.Discover(tree, node.Options{})
	require.NoError(t, err)
	return found
}
