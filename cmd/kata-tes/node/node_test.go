// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"debug/buildinfo"
	"maps"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	main = "/etc/containerd/config.toml"
	v2   = "version = 2\n"
	cri2 = "[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes."
	cri3 = "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes."
)

// programs that most nodes here have.
var programs = map[string]string{
	"/usr/bin/containerd": program, "/usr/bin/qemu-system-x86_64": program, "/usr/bin/containerd-shim-runc-v2": program,
	"/opt/kata/bin/containerd-shim-kata-v2": program, "/opt/kata/runtime-rs/bin/containerd-shim-kata-v2": program,
}

func discover(t *testing.T, files map[string]string) *Containerd {
	t.Helper()
	all := maps.Clone(programs)
	maps.Copy(all, files)
	found, err := Discover(newTree(t, all), Options{})
	require.NoError(t, err)
	return found.Containerd
}

func TestMergingOfContainerd1(t *testing.T) {
	c := discover(t, map[string]string{
		main:                          v2 + "imports = ['more/*.toml', '/abs.toml']\n" + cri2 + "a]\nruntime_type = 'io.containerd.runc.v2'\n[plugins.'io.x.y.z']\nk = 1\n",
		"/abs.toml":                   cri2 + "c]\nruntime_type = 'io.containerd.runc.v2'\n",
		"/etc/containerd/more/1.toml": cri2 + "b]\nruntime_type = 'io.containerd.runc.v2'\n",
		"/etc/containerd/more/2.txt":  "no TOML at all [",
	})
	require.Equal(t, 2, c.ConfigVersion)
	require.Equal(t, pluginV2, c.Plugin)
	require.Nil(t, c.Handler("a"), "the import replaces the plugin's section")
	require.Nil(t, c.Handler("b"))
	require.NotNil(t, c.Handler("c"))
	require.Contains(t, c.Plugins, "io.x.y.z")
	var files []string
	for _, f := range c.Files {
		files = append(files, f.Path)
	}
	require.Equal(t, []string{main, "/etc/containerd/more/1.toml", "/abs.toml"}, files)
}

func TestMergingOfContainerd2(t *testing.T) {
	c := discover(t, map[string]string{
		main:      "version = 3\nimports = ['/b.toml']\n" + cri3 + "a]\nruntime_type = 'io.containerd.runc.v2'\nsnapshotter = 's'\npod_annotations = ['x', 'y']\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.a.options]\nK = 1\n",
		"/b.toml": "imports = ['/etc/containerd/config.toml', '/c.toml']\n" + cri3 + "a]\nruntime_type = '/opt/x/shim'\npod_annotations = ['z']\n",
		"/c.toml": cri3 + "a.options]\nL = 2\n",
	})
	require.Equal(t, 2, c.Major)
	h := c.Handler("a")
	require.NotNil(t, h)
	require.Equal(t, "/opt/x/shim", h.RuntimeType)
	require.Equal(t, "/b.toml", h.File)
	require.Equal(t, "s", h.Snapshotter)
	require.Equal(t, []string{"z"}, h.PodAnnotations)
	require.Equal(t, map[string]any{"K": int64(1), "L": int64(2)}, h.Table["options"])
	require.Nil(t, h.Kata)
	require.Empty(t, h.Shim, "that program is not there")
}

func TestHandlersAndTheirKata(t *testing.T) {
	const kata = "[hypervisor.qemu]\npath = '/usr/bin/qemu-system-x86_64'\nkernel = 'k'\n"
	c := discover(t, map[string]string{
		main: v2 +
			cri2 + "runc]\nruntime_type = 'io.containerd.runc.v2'\n" +
			cri2 + "deploy]\nruntime_type = 'io.containerd.deploy.v2'\nruntime_path = '/opt/kata/bin/containerd-shim-kata-v2'\noptions = { ConfigPath = '/link.toml' }\n" +
			cri2 + "rust]\nruntime_type = 'io.containerd.kata-rust.v2'\nruntime_path = '/opt/kata/runtime-rs/bin/containerd-shim-kata-v2'\n" +
			cri2 + "none]\nruntime_type = 'io.containerd.kata.v2'\nruntime_path = '/no/containerd-shim-kata-v2'\noptions = { ConfigPath = '/none.toml' }\n" +
			cri2 + "ours]\nruntime_type = 'io.containerd.kata-tes.v2'\noptions = { ConfigPath = '/x/runtime-rs/c.toml' }\n",
		"/link.toml":                 "->/kata/own/c.toml",
		"/kata/own/c.toml":           kata,
		"/kata/own/config.d/10-any":  "[hypervisor.qemu]\nkernel = 'other'\npath = '/my/qemu'\n[hypervisor.clh]\n",
		"/kata/own/config.d/50.toml": "[hypervisor.qemu]\npath = '/usr/local/bin/kata-tes-qemu'\n",
		"/etc/kata-containers/runtime-rs/configuration.toml": kata,
		"/x/runtime-rs/c.toml":                               "[hypervisor.qemu]\npath = '/usr/local/bin/kata-tes-qemu'\n",
		"/usr/local/bin/containerd-shim-kata-tes-v2":         program,
	})
	require.Len(t, c.Handlers, 5)
	require.Len(t, c.KataHandlers(), 4)
	require.Equal(t, "/usr/bin/containerd-shim-runc-v2", c.Handler("runc").Shim)

	h := c.Handler("deploy")
	require.NoError(t, h.KataError)
	require.Equal(t, "/kata/own/c.toml", h.Kata.Path)
	require.Equal(t, []string{"/kata/own/config.d/10-any", "/kata/own/config.d/50.toml"}, h.Kata.DropIns)
	require.Equal(t, []string{"clh", "qemu"}, h.Kata.Hypervisors)
	require.True(t, h.Kata.Wrapped())
	require.Equal(t, "/kata/own/config.d/50.toml", h.Kata.QEMUPathFile)
	require.Equal(t, "/my/qemu", h.Kata.RealQEMU)
	require.False(t, h.Kata.Rust)

	h = c.Handler("rust")
	require.NoError(t, h.KataError)
	require.True(t, h.Kata.Rust)
	require.Equal(t, "/etc/kata-containers/runtime-rs/configuration.toml", h.Kata.Path)
	require.Equal(t, "/opt/kata/runtime-rs/bin/containerd-shim-kata-v2", h.Kata.Shim)

	h = c.Handler("none")
	require.ErrorContains(t, h.KataError, "/none.toml")
	require.Empty(t, h.Shim)

	h = c.Handler("ours")
	require.True(t, h.Ours)
	require.Equal(t, "/usr/local/bin/containerd-shim-kata-tes-v2", h.Shim)
	require.Equal(t, "/opt/kata/runtime-rs/bin/containerd-shim-kata-v2", h.Kata.Shim)
	require.Empty(t, h.Kata.RealQEMU)
}

func TestNoContainerd(t *testing.T) {
	_, err := Discover(newTree(t, programs), Options{})
	require.ErrorIs(t, err, ErrNoContainerd)
	require.ErrorContains(t, err, main)
	_, err = Discover(newTree(t, programs), Options{ContainerdConfig: "/my.toml"})
	require.ErrorContains(t, err, "/my.toml")
	_, err = Discover(newTree(t, map[string]string{main: "version = 'two'\n"}), Options{})
	require.ErrorContains(t, err, main)
}

func TestVersionOfTheProgram(t *testing.T) {
	for name, test := range map[string]struct {
		info    buildinfo.BuildInfo
		major   int
		version string
	}{
		"1.7 of upstream": {buildinfo.BuildInfo{Path: "github.com/containerd/containerd/cmd/containerd", Settings: []debug.BuildSetting{
			{Key: "-ldflags", Value: "-X github.com/containerd/containerd/version.Version=v1.7.27 -X github.com/containerd/containerd/version.Revision=abc"},
		}}, 1, "v1.7.27"},
		"2.1 of upstream": {buildinfo.BuildInfo{Path: "github.com/containerd/containerd/v2/cmd/containerd", Settings: []debug.BuildSetting{
			{Key: "-ldflags", Value: "-X github.com/containerd/containerd/v2/version.Version=2.1.4-rc.1+k3s"},
		}}, 2, "v2.1.4-rc.1+k3s"},
		"from its module": {buildinfo.BuildInfo{Path: "github.com/containerd/containerd/v2/cmd/containerd", Main: debug.Module{Version: "v2.4.2"}}, 2, "v2.4.2"},
		"of Debian":       {buildinfo.BuildInfo{Path: "github.com/containerd/containerd/cmd/containerd", Main: debug.Module{Version: "(devel)"}}, 1, ""},
		"something else":  {buildinfo.BuildInfo{Path: "github.com/k3s-io/k3s/cmd/server"}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var c Containerd
			c.describe(&test.info)
			require.Equal(t, test.major, c.Major)
			require.Equal(t, test.version, c.Version)
		})
	}
}

func FuzzDiscover(f *testing.F) {
	f.Add([]byte(v2+cri2+"kata]\nruntime_type = 'io.containerd.kata.v2'\noptions = { ConfigPath = '/k.toml' }\n"), []byte("[hypervisor.qemu]\npath = '/q'\n"))
	f.Add([]byte("version = 3\nimports = ['*', '/etc/*/config.toml', '[']\nplugins = 5\n"), []byte("hypervisor = 1\n"))
	f.Add([]byte("[plugins]\ncri = { containerd = { runtimes = { a = 1, b = { options = 1, runtime_type = '...' } } } }\n"), []byte(""))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, containerd, kata []byte) {
		tree, err := Open(dir)
		require.NoError(t, err)
		defer func() { require.NoError(t, tree.Close()) }()
		found, err := Discover(tree.With(map[string][]byte{main: nonNil(containerd), "/k.toml": nonNil(kata)}), Options{})
		if err != nil {
			return
		}
		for _, h := range found.Containerd.Handlers {
			if h.Kata == nil && h.KataError == nil && h.isKata() {
				t.Fatalf("%+v", h)
			}
		}
	})
}

func nonNil(content []byte) []byte {
	if content == nil {
		return []byte{}
	}
	return content
}
