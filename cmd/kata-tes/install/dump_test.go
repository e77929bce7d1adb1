// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"github.com/pelletier/go-toml/v2"
	"github.com/stretchr/testify/require"
)

// Parts of the test node (make node) that have a containerd each.
const (
	debianRoot  = "../../../build/parts/rootfs/root"
	containerd2 = "../../../build/parts/containerd/bin/containerd"
)

// TestRealContainerd has the programs themselves say what their configuration is
// (config dump), before and after: only the chosen handlers may be different.
func TestRealContainerd(t *testing.T) {
	for _, test := range []struct {
		name, tree string
		major      int
		dump       func(t *testing.T, root string) map[string]any
	}{
		{"1.6, kata-deploy", "containerd-1.6", 1, dump1},
		{"1.6, kata-deploy of Kata 3", "containerd-1.7", 1, dump1},
		{"1.6, distribution", "distribution", 1, dump1},
		{"2.x, named imports", "containerd-2.0", 2, dump2},
		{"2.x, a folder of drop-ins", "containerd-2.2", 2, dump2},
		{"2.x with the configuration of 1.x", "containerd-1.7", 2, dump2},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := newNode(t, test.tree)
			program := filepath.Join(debianRoot, "/usr/bin/containerd")
			if test.major == 2 {
				program = containerd2
			}
			content, err := os.ReadFile(program)
			if err != nil {
				t.Skip("this needs a containerd of the test node (make node): ", err)
			}
			put(t, filepath.Join(root, "/usr/bin/containerd"), string(content), 0o755)
			require.Equal(t, test.major, discover(t, root).Containerd.Major)

			before := test.dump(t, root)
			_, err = Install(context.Background(), options(t, root, trees[test.tree].chosen...))
			require.NoError(t, err)
			after := test.dump(t, root)

			plugin := "io.containerd.grpc.v1.cri"
			if test.major == 2 {
				plugin = "io.containerd.cri.v1.runtime"
			}
			runtimes := []string{"plugins", plugin, "containerd", "runtimes"}
			found := discover(t, root).Containerd
			for _, name := range trees[test.tree].chosen {
				was, is := at(before, append(runtimes, name)), at(after, append(runtimes, name))
				require.Equal(t, node.RuntimeType, is["runtime_type"])
				require.Equal(t, "/usr/local/bin/"+node.ShimName, is["runtime_path"])
				require.Equal(t, found.Handler(name).ConfigPath, at(is, []string{"options"})["ConfigPath"])
				for _, table := range []map[string]any{was, is} {
					delete(table, "runtime_type")
					delete(table, "runtime_path")
					if options, isTable := table["options"].(map[string]any); isTable {
						delete(options, "ConfigPath")
					}
				}
			}
			delete(before, "imports")
			delete(after, "imports")
			require.Equal(t, before, after)
		})
	}
}

// dump1 runs Debian's containerd with Debian's libraries. No tree for it imports
// anything, so that it may run in our own root.
func dump1(t *testing.T, root string) map[string]any {
	t.Helper()
	return dump(t, exec.Command(filepath.Join(debianRoot, "/lib64/ld-linux-x86-64.so.2"),
		"--library-path", filepath.Join(debianRoot, "/lib/x86_64-linux-gnu"), filepath.Join(debianRoot, "/usr/bin/containerd"),
		"--config", filepath.Join(root, mainFile), "config", "dump"))
}

// dump2 runs a static containerd with the tree as its root.
func dump2(t *testing.T, root string) map[string]any {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("chroot needs root")
	}
	cmd := exec.Command("/usr/bin/containerd", "config", "dump")
	cmd.SysProcAttr, cmd.Dir = &syscall.SysProcAttr{Chroot: root}, "/"
	return dump(t, cmd)
}

func dump(t *testing.T, cmd *exec.Cmd) map[string]any {
	t.Helper()
	var said strings.Builder
	cmd.Stderr = &said
	output, err := cmd.Output()
	require.NoError(t, err, said.String())
	var all map[string]any
	require.NoError(t, toml.Unmarshal(output, &all))
	return all
}
