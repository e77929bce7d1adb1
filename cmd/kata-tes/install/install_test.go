// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/stretchr/testify/require"
)

func TestInstallAndUninstall(t *testing.T) {
	for name, tree := range trees {
		t.Run(name, func(t *testing.T) {
			root := newNode(t, name)
			was, before := everything(t, root), discover(t, root)
			o := options(t, root, tree.chosen...)

			result, err := Install(context.Background(), o)
			require.NoError(t, err)
			require.Equal(t, Needed, result.Restart)
			require.Len(t, result.Handlers, len(tree.chosen))
			checkInstalled(t, before, discover(t, root), tree.chosen)
			is := everything(t, root)

			result, err = Install(context.Background(), o)
			require.NoError(t, err)
			require.Empty(t, result.Files)
			same(t, is, everything(t, root))

			o.Handlers = nil
			_, err = Install(context.Background(), o)
			require.NoError(t, err)
			same(t, is, everything(t, root))

			_, err = Uninstall(context.Background(), Options{Root: root})
			require.NoError(t, err)
			same(t, was, everything(t, root))
			result, err = Uninstall(context.Background(), Options{Root: root})
			require.NoError(t, err)
			require.Empty(t, result.Files)
			same(t, was, everything(t, root))
		})
	}
}

// checkInstalled holds the node against what it was: chosen handlers run behind
// us, and neither they nor others have lost anything.
func checkInstalled(t *testing.T, before, after *node.Node, chosen []string) {
	t.Helper()
	require.Len(t, after.Containerd.Handlers, len(before.Containerd.Handlers))
	for _, was := range before.Containerd.Handlers {
		is := after.Containerd.Handler(was.Name)
		if !slices.Contains(chosen, was.Name) {
			was.File, is.File = "", ""
			require.Equal(t, was, *is)
			continue
		}
		require.True(t, is.Ours, was.Name)
		require.Equal(t, "/usr/local/bin/"+node.ShimName, is.Shim)
		require.Equal(t, was.Snapshotter, is.Snapshotter)
		require.Equal(t, was.PodAnnotations, is.PodAnnotations)
		require.Equal(t, was.ContainerAnnotations, is.ContainerAnnotations)
		require.Equal(t, was.PrivilegedWithoutHostDevices, is.PrivilegedWithoutHostDevices)
		require.NoError(t, is.KataError)
		require.Equal(t, "/usr/local/bin/"+node.WrapperName, is.Kata.QEMUPath)
		require.Equal(t, was.Kata.RealQEMU, is.Kata.RealQEMU)
		require.Equal(t, was.Kata.Rust, is.Kata.Rust)
		checkSettings(t, after.Tree, *is, was.Kata.Shim, was.Kata.RealQEMU)
	}
}

// checkSettings asks the code that will ask for it in the shim.
func checkSettings(t *testing.T, tree *node.Tree, h node.Handler, shim, qemu string) {
	t.Helper()
	text := read(t, tree.Dir(), config.DefaultPath)
	// The shim finds programs in its own /.
	text = strings.NewReplacer(`inner_shim = "`, `inner_shim = "`+tree.Dir(), `hypervisor = "`, `hypervisor = "`+tree.Dir()).Replace(text)
	file, err := config.Parse(config.DefaultPath, []byte(text))
	require.NoError(t, err)
	settings, err := file.For(h.ConfigPath)
	require.NoError(t, err)
	require.Equal(t, tree.Dir()+shim, settings.InnerShim)
	require.Equal(t, tree.Dir()+qemu, settings.Hypervisor)
}

func TestWhereItIsWritten(t *testing.T) {
	for name, want := range map[string][]string{
		"containerd-1.6": {"/etc/containerd/config.toml", "/opt/kata/share/defaults/kata-containers/runtimes/qemu-tdx/config.d/90-kata-tes.toml"},
		"containerd-1.7": {"/etc/containerd/config.toml", "/etc/kata-tes/kata/kata-qemu-tdx/configuration-qemu-tdx.toml", "/etc/kata-tes/kata/kata-qemu-snp/config.d/90-kata-tes.toml"},
		"containerd-2.0": {"/etc/containerd/config.toml", "/etc/kata-tes/containerd.toml", "/etc/kata-tes/kata/runtime-rs/kata-qemu-tdx-runtime-rs/config.d/90-kata-tes.toml"},
		"containerd-2.2": {"/etc/containerd/conf.d/zz-kata-tes.toml"},
		"distribution":   {"/etc/kata-tes/kata/kata/configuration.toml"},
		"version-1":      {"/etc/containerd/config.toml", "/etc/kata/only/config.d/90-kata-tes.toml"},
		"k3s":            {"/var/lib/rancher/k3s/agent/etc/containerd/config-v3.toml.d/zz-kata-tes.toml"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, newNode(t, name), trees[name].chosen...)
			o.DryRun = true
			result, err := Install(context.Background(), o)
			require.NoError(t, err)
			var have []string
			for _, f := range result.Files {
				have = append(have, f.Path)
			}
			require.Subset(t, have, want)
			if name == "containerd-2.2" || name == "k3s" {
				require.NotContains(t, have, trees[name].config, "the main file is not touched")
			}
		})
	}
}

func TestAnEditTouchesTheHandlersLinesOnly(t *testing.T) {
	root := newNode(t, "containerd-1.6")
	main := filepath.Join(root, "/etc/containerd/config.toml")
	was := read(t, main)
	_, err := Install(context.Background(), options(t, root, "kata-qemu-tdx"))
	require.NoError(t, err)
	want := strings.NewReplacer(
		`runtime_type = "io.containerd.kata-qemu-tdx.v2"`+"\nruntime_path = \"/opt/kata/bin/containerd-shim-kata-v2\"",
		`runtime_type = "io.containerd.kata-tes.v2"`+"\nruntime_path = \"/usr/local/bin/containerd-shim-kata-tes-v2\"",
	).Replace(was)
	require.NotEqual(t, was, want)
	require.Equal(t, want, read(t, main))
	info, err := os.Stat(main)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode())
}

func TestDryRunChangesNothing(t *testing.T) {
	for name, tree := range trees {
		root := newNode(t, name)
		was := everything(t, root)
		o := options(t, root, tree.chosen...)
		o.DryRun = true
		result, err := Install(context.Background(), o)
		require.NoError(t, err)
		require.NotEmpty(t, result.Files)
		for _, f := range result.Files {
			require.NotEmpty(t, f.Diff, f.Path)
		}
		_, err = Uninstall(context.Background(), Options{Root: root, DryRun: true})
		require.NoError(t, err)
		same(t, was, everything(t, root))
	}
}

// TestABrokenHandlerHarmsNoOther: kata-deploy leaves handlers behind whose
// configuration is gone.
func TestABrokenHandlerHarmsNoOther(t *testing.T) {
	root := newNode(t, "containerd-1.6")
	require.NoError(t, os.Remove(filepath.Join(root, tdxKata, "configuration-qemu-tdx.toml")))
	was := everything(t, root)
	_, err := Install(context.Background(), options(t, root, "kata-qemu-snp"))
	require.NoError(t, err)
	_, err = Uninstall(context.Background(), Options{Root: root})
	require.NoError(t, err)
	same(t, was, everything(t, root))
}

// TestTheLastImportCounts: where kata-deploy's file comes behind the
// folder of drop-ins, one of ours in that folder would not count.
func TestTheLastImportCounts(t *testing.T) {
	root := newNode(t, "containerd-2.0")
	main := filepath.Join(root, mainFile)
	put(t, main, strings.Replace(read(t, main), "imports = [", "imports = [\"conf.d/*.toml\", ", 1), 0o644)
	was := everything(t, root)
	result, err := Install(context.Background(), options(t, root, "kata-qemu-tdx"))
	require.NoError(t, err)
	require.True(t, discover(t, root).Containerd.Handler("kata-qemu-tdx").Ours)
	require.Equal(t, mainFile, result.Files[len(result.Files)-1].Path)
	require.NoFileExists(t, filepath.Join(root, "/etc/containerd/conf.d/zz-kata-tes.toml"))
	_, err = Uninstall(context.Background(), Options{Root: root})
	require.NoError(t, err)
	same(t, was, everything(t, root))
}

func TestOtherHandlers(t *testing.T) {
	for _, name := range []string{"containerd-1.6", "containerd-1.7", "containerd-2.2"} {
		t.Run(name, func(t *testing.T) {
			direct := newNode(t, name)
			_, err := Install(context.Background(), options(t, direct, "kata-qemu"))
			require.NoError(t, err)

			root := newNode(t, name)
			was := everything(t, root)
			for _, handlers := range [][]string{{"kata-qemu-tdx"}, {"kata-qemu-tdx", "kata-qemu"}, {"kata-qemu"}} {
				_, err := Install(context.Background(), options(t, root, handlers...))
				require.NoError(t, err)
			}
			same(t, everything(t, direct), everything(t, root))
			_, err = Uninstall(context.Background(), Options{Root: root})
			require.NoError(t, err)
			same(t, was, everything(t, root))
		})
	}
}

func TestANewerVersionTakesThePlace(t *testing.T) {
	root := newNode(t, "containerd-2.2")
	was := everything(t, root)
	_, err := Install(context.Background(), options(t, root, "kata-qemu-tdx"))
	require.NoError(t, err)
	running, err := os.Open(filepath.Join(root, DefaultBinDir, node.ShimName))
	require.NoError(t, err)
	defer func() { _ = running.Close() }()

	o := options(t, root)
	o.From, o.Version = ourPrograms(t, "2"), "2"
	result, err := Install(context.Background(), o)
	require.NoError(t, err)
	require.Len(t, result.Files, 2)
	require.Equal(t, node.ShimName+" 2", read(t, root, DefaultBinDir, node.ShimName))
	content := make([]byte, 100)
	n, err := running.Read(content)
	require.NoError(t, err)
	require.Equal(t, node.ShimName+" 1", string(content[:n]), "what runs keeps its program")

	_, err = Uninstall(context.Background(), Options{Root: root})
	require.NoError(t, err)
	same(t, was, everything(t, root))
}

func TestWhatWasThereUnderOurNamesComesBack(t *testing.T) {
	root := newNode(t, "containerd-1.6")
	put(t, filepath.Join(root, DefaultBinDir, node.ShimName), "built by hand", 0o700)
	put(t, filepath.Join(root, config.DefaultPath), "[defaults]\nlate_store = \"refuse\" # ours\n[[runtime]]\nconfig_path = \"/x\"\nlog_level = \"debug\"", 0o604)
	was := everything(t, root)
	_, err := Install(context.Background(), options(t, root, "kata-qemu-tdx"))
	require.NoError(t, err)
	text := read(t, root, config.DefaultPath)
	require.Contains(t, text, "late_store = \"refuse\" # ours\nhypervisor = ")
	_, err = Uninstall(context.Background(), Options{Root: root})
	require.NoError(t, err)
	same(t, was, everything(t, root))
}

func TestTheOperatorsWordCountsFirst(t *testing.T) {
	root := newNode(t, "containerd-2.2")
	const written = "[defaults]\nhypervisor = \"/opt/kata/bin/qemu-system-x86_64\"\n[[runtime]]\n" +
		"config_path = \"/opt/kata/share/defaults/kata-containers/runtimes/qemu-tdx/configuration-qemu-tdx.toml\"\nhypervisor = \"/my/qemu\"\n"
	put(t, filepath.Join(root, config.DefaultPath), written, 0o644)
	_, err := Install(context.Background(), options(t, root, "kata-qemu-tdx"))
	require.NoError(t, err)
	require.Equal(t, written, read(t, root, config.DefaultPath))
}

func TestLinksAreFollowedWithinTheNode(t *testing.T) {
	root := newNode(t, "containerd-1.6")
	require.NoError(t, os.MkdirAll(filepath.Join(root, "/data"), 0o755))
	require.NoError(t, os.Rename(filepath.Join(root, "/etc/containerd"), filepath.Join(root, "/data/containerd")))
	require.NoError(t, os.Symlink("/data/containerd", filepath.Join(root, "/etc/containerd")))
	outside := t.TempDir()
	require.NoError(t, os.RemoveAll(filepath.Join(root, "/usr/local/bin")))
	require.NoError(t, os.Symlink(outside, filepath.Join(root, "/usr/local/bin")))
	was := everything(t, root)
	_, err := Install(context.Background(), options(t, root, "kata-qemu-tdx"))
	require.NoError(t, err)
	require.Contains(t, read(t, root, "/data/containerd/config.toml"), node.RuntimeType)
	require.FileExists(t, filepath.Join(root, outside, node.ShimName), "as the node would follow it")
	entries, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing outside")
	_, err = Uninstall(context.Background(), Options{Root: root})
	require.NoError(t, err)
	same(t, was, everything(t, root))
}
