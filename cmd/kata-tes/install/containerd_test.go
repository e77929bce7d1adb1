// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"github.com/stretchr/testify/require"
)

// TestContainerdReadsItSo has containerd's own loader merge what is installed,
// for a handler that is chosen and for all that are not.
func TestContainerdReadsItSo(t *testing.T) {
	for name, tree := range trees {
		// The loader of 2.x gives the plugins of version 1 other names, so that
		// nothing could be compared.
		if name == "version-1" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			root := newNode(t, name)
			before := load(t, root, tree.config)
			_, err := Install(context.Background(), options(t, root, tree.chosen...))
			require.NoError(t, err)
			after := load(t, root, tree.config)
			found := discover(t, root).Containerd
			require.Equal(t, after[found.Plugin], found.Plugins[found.Plugin], "as we read it")

			for _, handler := range tree.chosen {
				path := found.HandlerPath(handler)[1:]
				was, is := at(before, path), at(after, path)
				require.Equal(t, node.RuntimeType, is["runtime_type"])
				require.Equal(t, "/usr/local/bin/"+node.ShimName, is["runtime_path"])
				for _, key := range []string{"snapshotter", "pod_annotations", "container_annotations", "privileged_without_host_devices"} {
					require.Equal(t, was[key], is[key], key)
				}
				// What is left must be the same.
				delete(at(before, path[:len(path)-1]), handler)
				delete(at(after, path[:len(path)-1]), handler)
			}
			require.Equal(t, before, after)
		})
	}
}

// load has the imports of all files lead into the tree, which the loader knows
// nothing of.
func load(t *testing.T, root, main string) map[string]any {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range []string{filepath.Dir(main), "/etc/kata-tes", "/opt/kata/containerd"} {
		from := filepath.Join(root, folder)
		if _, err := os.Stat(from); err == nil {
			require.NoError(t, os.CopyFS(filepath.Join(dir, folder), os.DirFS(from)))
		}
	}
	file := filepath.Join(dir, main)
	text := read(t, file)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "imports") {
			text = strings.Replace(text, line, strings.ReplaceAll(line, `"/`, `"`+dir+"/"), 1)
		}
	}
	put(t, file, text, 0o600)
	loaded := config.Config{Plugins: make(map[string]any)}
	require.NoError(t, config.LoadConfig(context.Background(), file, &loaded))
	return loaded.Plugins
}
