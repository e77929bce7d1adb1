// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/journal"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/tomledit"
	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/stretchr/testify/require"
)

const (
	mainFile = "/etc/containerd/config.toml"
	tdxKata  = "/opt/kata/share/defaults/kata-containers/runtimes/qemu-tdx/"
)

// TestBadInput: an error that says what to do, and nothing changes.
func TestBadInput(t *testing.T) {
	for name, test := range map[string]struct {
		tree     string
		spoil    func(t *testing.T, root string, o *Options)
		handlers []string
		is       error
		says     []string
	}{
		"no handler":      {handlers: nil, is: ErrWhich, says: []string{"--runtime", "kata-qemu-snp, kata-qemu-tdx"}},
		"unknown handler": {handlers: []string{"kata-qemu-tdx", "nope"}, is: ErrWhich, says: []string{"nope", "kata-qemu-tdx"}},
		"not Kata":        {handlers: []string{"runc"}, is: ErrUnfit, says: []string{"runc", "choose another"}},
		"not QEMU":        {handlers: []string{"kata-clh"}, is: ErrUnfit, says: []string{"clh", "QEMU"}},
		"no containerd": {
			handlers: []string{"kata"}, is: node.ErrNoContainerd, says: []string{"--containerd-config"},
			spoil: func(t *testing.T, root string, _ *Options) {
				require.NoError(t, os.Remove(filepath.Join(root, mainFile)))
			},
		},
		"another configuration of containerd that is not there": {
			handlers: []string{"kata"}, says: []string{"/no/such"},
			spoil: func(_ *testing.T, _ string, o *Options) { o.ContainerdConfig = "/no/such" },
		},
		"containerd's configuration is damaged": {
			handlers: []string{"kata"}, says: []string{mainFile, "cannot be read"},
			spoil: func(t *testing.T, root string, _ *Options) {
				put(t, filepath.Join(root, mainFile), "[plugins\n", 0o644)
			},
		},
		"an import is not there": {
			handlers: []string{"kata"}, says: []string{"/not/there.toml"},
			spoil: func(t *testing.T, root string, _ *Options) {
				put(t, filepath.Join(root, mainFile), "version = 2\nimports = ['/not/there.toml']\n", 0o644)
			},
		},
		"no programs": {
			handlers: []string{"kata-qemu-tdx"}, says: []string{node.ShimName, "--from"},
			spoil: func(t *testing.T, _ string, o *Options) { o.From = t.TempDir() },
		},
		"no folder with programs": {
			handlers: []string{"kata-qemu-tdx"}, says: []string{"--from"},
			spoil: func(_ *testing.T, _ string, o *Options) { o.From = "/no/such/folder" },
		},
		"a program that is none": {
			handlers: []string{"kata-qemu-tdx"}, says: []string{node.WrapperName, "no program"},
			spoil: func(t *testing.T, _ string, o *Options) {
				require.NoError(t, os.Chmod(filepath.Join(o.From, node.WrapperName), 0o644))
			},
		},
		"a relative folder": {
			handlers: []string{"kata-qemu-tdx"}, says: []string{"absolute"},
			spoil: func(_ *testing.T, _ string, o *Options) { o.BinDir = "bin" },
		},
		"no QEMU": {
			handlers: []string{"kata-qemu-tdx"}, is: ErrUnfit, says: []string{"qemu-system-x86_64-tdx-experimental", "install it"},
			spoil: func(t *testing.T, root string, _ *Options) {
				require.NoError(t, os.Remove(filepath.Join(root, "/opt/kata/bin/qemu-system-x86_64-tdx-experimental")))
			},
		},
		"no Kata configuration": {
			handlers: []string{"kata-qemu-tdx"}, is: ErrUnfit, says: []string{"configuration-qemu-tdx.toml"},
			spoil: func(t *testing.T, root string, _ *Options) {
				require.NoError(t, os.Remove(filepath.Join(root, tdxKata, "configuration-qemu-tdx.toml")))
			},
		},
		"a damaged drop-in of Kata": {
			handlers: []string{"kata-qemu-tdx"}, is: ErrUnfit, says: []string{"config.d/40-x"},
			spoil: func(t *testing.T, root string, _ *Options) {
				put(t, filepath.Join(root, tdxKata, "config.d/40-x"), "a =", 0o644)
			},
		},
		"a drop-in of Kata that comes behind ours": {
			handlers: []string{"kata-qemu-tdx"}, is: errCheck, says: []string{"99-mine.toml", "90-kata-tes.toml"},
			spoil: func(t *testing.T, root string, _ *Options) {
				put(t, filepath.Join(root, tdxKata, "config.d/99-mine.toml"), "[hypervisor.qemu]\npath = \"/usr/bin/qemu-system-x86_64\"\n", 0o644)
			},
		},
		"a configuration of ours that is wrong": {
			handlers: []string{"kata-qemu-tdx"}, is: config.ErrInvalid, says: []string{config.DefaultPath, "late_sore"},
			spoil: func(t *testing.T, root string, _ *Options) {
				put(t, filepath.Join(root, config.DefaultPath), "[defaults]\nlate_sore = \"warn\"\n", 0o644)
			},
		},
		"a form of TOML that cannot be edited": {
			handlers: []string{"kata"}, is: tomledit.ErrUnsupported, says: []string{"by hand"}, tree: "version-1",
			spoil: func(t *testing.T, root string, _ *Options) {
				put(t, filepath.Join(root, mainFile), "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.kata]\nruntime_type = 'io.containerd.kata.v2'\n"+
					"[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.kata.options.more]\n", 0o644)
				put(t, filepath.Join(root, "/etc/kata-containers/configuration.toml"), "[hypervisor.qemu]\npath = '/usr/bin/qemu-system-x86_64'\n", 0o644)
			},
		},
		"a link in a circle": {
			handlers: []string{"kata-qemu-tdx"}, says: []string{"symbolic links"},
			spoil: func(t *testing.T, root string, _ *Options) {
				require.NoError(t, os.RemoveAll(filepath.Join(root, "/usr/local/bin")))
				require.NoError(t, os.Symlink("bin", filepath.Join(root, "/usr/local/bin")))
			},
		},
		"a folder in a file's place": {
			handlers: []string{"kata-qemu-tdx"}, says: []string{node.WrapperName, "regular file"},
			spoil: func(t *testing.T, root string, _ *Options) {
				require.NoError(t, os.Mkdir(filepath.Join(root, "/usr/local/bin", node.WrapperName), 0o755))
			},
		},
		"a record of another version": {
			handlers: []string{"kata-qemu-tdx"}, is: journal.ErrRecord, says: []string{"format 9"},
			spoil: func(t *testing.T, root string, _ *Options) {
				put(t, filepath.Join(root, journal.Folder, "install.json"), `{"format": 9}`, 0o600)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.tree == "" {
				test.tree = "containerd-1.6"
			}
			root := newNode(t, test.tree)
			o := options(t, root, test.handlers...)
			if test.spoil != nil {
				test.spoil(t, root, &o)
			}
			was := everything(t, root)
			_, err := Install(context.Background(), o)
			require.Error(t, err)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			for _, text := range test.says {
				require.ErrorContains(t, err, text)
			}
			same(t, was, everything(t, root))
		})
	}
}

func TestAFileOfOthersChangedSince(t *testing.T) {
	root := newNode(t, "containerd-1.6")
	was := read(t, root, mainFile)
	o := options(t, root, "kata-qemu-tdx")
	_, err := Install(context.Background(), o)
	require.NoError(t, err)
	// As an administrator or kubeadm does.
	change := func(text string) string {
		return strings.Replace(text, "pause:3.9", "pause:3.10", 1) + "\n[debug]\nlevel = \"debug\"\n"
	}
	put(t, filepath.Join(root, mainFile), change(read(t, root, mainFile)), 0o600)

	is := everything(t, root)
	_, err = Uninstall(context.Background(), Options{Root: root})
	require.ErrorIs(t, err, ErrChanged)
	require.ErrorContains(t, err, mainFile)
	require.ErrorContains(t, err, "--force")
	same(t, is, everything(t, root))

	// Another installation takes the change for what was there.
	o.Handlers = []string{"kata-qemu-snp"}
	_, err = Install(context.Background(), o)
	require.NoError(t, err)
	_, err = Uninstall(context.Background(), Options{Root: root})
	require.NoError(t, err)
	require.Equal(t, change(was), read(t, root, mainFile))

	// By force, right away.
	_, err = Install(context.Background(), o)
	require.NoError(t, err)
	put(t, filepath.Join(root, mainFile), "# mine\n"+read(t, root, mainFile), 0o600)
	_, err = Uninstall(context.Background(), Options{Root: root, Force: true})
	require.NoError(t, err)
	require.Equal(t, "# mine\n"+change(was), read(t, root, mainFile))
	require.NoDirExists(t, filepath.Join(root, journal.Folder))
}

func TestKataDeployAgain(t *testing.T) {
	root := newNode(t, "containerd-1.6")
	was := everything(t, root)
	o := options(t, root, "kata-qemu-tdx")
	_, err := Install(context.Background(), o)
	require.NoError(t, err)
	// kata-deploy writes its own values over ours whenever it starts.
	put(t, filepath.Join(root, mainFile), read(t, "testdata/containerd-1.6", mainFile), 0o640)
	result, err := Install(context.Background(), o)
	require.NoError(t, err)
	require.Len(t, result.Files, 1)
	require.Contains(t, read(t, root, mainFile), node.RuntimeType)
	_, err = Uninstall(context.Background(), Options{Root: root})
	require.NoError(t, err)
	same(t, was, everything(t, root))
}

// TestKataDeployGone: it has restored its backup and removed its tree, with what
// we had put into it.
func TestKataDeployGone(t *testing.T) {
	root := newNode(t, "containerd-1.6")
	_, err := Install(context.Background(), options(t, root, "kata-qemu-tdx"))
	require.NoError(t, err)
	backup := read(t, root, mainFile+".bak")
	put(t, filepath.Join(root, mainFile), backup, 0o644)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "/opt/kata")))
	_, err = Uninstall(context.Background(), Options{Root: root})
	require.NoError(t, err)
	require.Equal(t, backup, read(t, root, mainFile))
	for _, gone := range []string{"/opt/kata", "/etc/kata-tes", "/var/lib/kata-tes", "/usr/local/bin/" + node.ShimName} {
		require.NoFileExists(t, filepath.Join(root, gone))
		require.NoDirExists(t, filepath.Join(root, gone))
	}
}

func TestRecorded(t *testing.T) {
	root := newNode(t, "containerd-1.6")
	recorded := func() *Record {
		tree, err := node.Open(root)
		require.NoError(t, err)
		defer func() { require.NoError(t, tree.Close()) }()
		r, err := Recorded(tree)
		require.NoError(t, err)
		return r
	}
	require.Nil(t, recorded())
	o := options(t, root, "kata-qemu-tdx")
	require.True(t, faulty(t, o, install, 30, true))
	require.True(t, recorded().CutOff)
	_, err := Install(context.Background(), o)
	require.NoError(t, err)
	require.Equal(t, &Record{Version: "1", Handlers: []string{"kata-qemu-tdx"}, RestartPending: true}, recorded())
	put(t, filepath.Join(root, mainFile), "# mine\n"+read(t, root, mainFile), 0o644)
	require.Equal(t, []string{mainFile}, recorded().Changed)
}

func TestAFileOfOursChangedSince(t *testing.T) {
	root := newNode(t, "containerd-2.2")
	was := everything(t, root)
	o := options(t, root, "kata-qemu-tdx")
	_, err := Install(context.Background(), o)
	require.NoError(t, err)
	ours := filepath.Join(root, "/etc/containerd/conf.d/zz-kata-tes.toml")
	put(t, ours, "version = 3\n", 0o644)
	is := everything(t, root)
	for _, do := range []func(context.Context, Options) (*Result, error){Install, Uninstall} {
		_, err = do(context.Background(), o)
		require.ErrorIs(t, err, ErrChanged)
		require.ErrorContains(t, err, "zz-kata-tes.toml")
		same(t, is, everything(t, root))
	}
	o.Force = true
	_, err = Install(context.Background(), o)
	require.NoError(t, err)
	require.Contains(t, read(t, ours), node.RuntimeType)
	put(t, ours, "version = 3\n", 0o644)
	_, err = Uninstall(context.Background(), Options{Root: root, Force: true})
	require.NoError(t, err)
	same(t, was, everything(t, root))
}

func TestAnOperatorsKeyBesideOurs(t *testing.T) {
	root := newNode(t, "containerd-2.2")
	_, err := Install(context.Background(), options(t, root, "kata-qemu-tdx"))
	require.NoError(t, err)
	file := filepath.Join(root, config.DefaultPath)
	put(t, file, read(t, file)+"[[runtime]]\nconfig_path = \"/x\"\n", 0o644)
	_, err = Uninstall(context.Background(), Options{Root: root, Force: true})
	require.NoError(t, err)
	require.Equal(t, newConfig+"[[runtime]]\nconfig_path = \"/x\"\n", read(t, file))
}

func TestPodsThatRun(t *testing.T) {
	root := newNode(t, "containerd-2.2")
	_, err := Install(context.Background(), options(t, root, "kata-qemu-tdx"))
	require.NoError(t, err)
	put(t, filepath.Join(root, "/run/kata-tes/_metrics/kata-tes.prom"), "x", 0o644)
	put(t, filepath.Join(root, "/run/kata-tes/0123abc/monitor.sock"), "", 0o600)
	is := everything(t, root)
	_, err = Uninstall(context.Background(), Options{Root: root})
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, "0123abc")
	same(t, is, everything(t, root))

	require.NoError(t, os.RemoveAll(filepath.Join(root, "/run/kata-tes/0123abc")))
	_, err = Uninstall(context.Background(), Options{Root: root})
	require.NoError(t, err)
	require.NoDirExists(t, filepath.Join(root, "/run/kata-tes"))
}

func TestOneAtATime(t *testing.T) {
	root := newNode(t, "containerd-2.2")
	tree, err := node.Open(root)
	require.NoError(t, err)
	defer func() { require.NoError(t, tree.Close()) }()
	j, err := journal.Open(tree)
	require.NoError(t, err)
	_, err = Install(context.Background(), options(t, root, "kata-qemu-tdx"))
	require.ErrorIs(t, err, journal.ErrBusy)
	require.NoError(t, j.Close())
	_, err = Install(context.Background(), options(t, root, "kata-qemu-tdx"))
	require.NoError(t, err)
}
