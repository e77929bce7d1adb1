// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package kataconfig

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// files makes a configuration with drop-ins and gives its path.
func files(t *testing.T, main string, dropIns map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "config.d"), 0o755))
	path := filepath.Join(folder, "configuration.toml")
	require.NoError(t, os.WriteFile(path, []byte(main), 0o600))
	for name, text := range dropIns {
		require.NoError(t, os.WriteFile(filepath.Join(folder, "config.d", name), []byte(text), 0o600))
	}
	return path
}

const base = "[hypervisor.qemu]\nimage = \"/a\"\nkernel_params = \"one\"\nother = 5\n[agent.kata]\nx = 1\n"

func TestLoad(t *testing.T) {
	path := files(t, base, map[string]string{
		"10-a.toml": "[hypervisor.qemu]\nkernel_params = \"two\"\n", "20-b": "[hypervisor.qemu]\nkernel_params = \"three\"\ninitrd = \"/i\"\n", "30.toml": "[runtime]\n",
	})
	link := filepath.Join(t.TempDir(), "link.toml")
	require.NoError(t, os.Symlink(path, link))
	for _, name := range []string{path, link} {
		i, err := Load(name)
		require.NoError(t, err)
		require.Equal(t, Image{Hypervisor: "qemu", Image: "/a", Initrd: "/i", KernelParams: "three"}, i)
	}
	dropIn := filepath.Join(filepath.Dir(path), "config.d", "20-b")
	i, err := LoadWith(path, dropIn, nil)
	require.NoError(t, err)
	require.Equal(t, Image{Hypervisor: "qemu", Image: "/a", KernelParams: "two"}, i)
	early := filepath.Join(filepath.Dir(path), "config.d", "05.toml")
	i, err = LoadWith(path, early, []byte("[hypervisor.qemu]\nkernel_params = \"mine\"\n"))
	require.NoError(t, err)
	require.Equal(t, "three", i.KernelParams)
	i, err = LoadLast(path, early, []byte("[hypervisor.qemu]\nkernel_params = \"mine\"\n"))
	require.NoError(t, err)
	require.Equal(t, "mine", i.KernelParams)
}

func TestLoadRefused(t *testing.T) {
	for text, words := range map[string]string{
		"[": "configuration of Kata", "": "no section", "[hypervisor.clh]\n[hypervisor.fc]\n": "no section",
		"[hypervisor.qemu]\nimage = 5\n": "configuration of Kata",
	} {
		_, err := Load(files(t, text, nil))
		require.ErrorContains(t, err, words, text)
	}
	_, err := Load("/none")
	require.Error(t, err)
	_, err = Load(files(t, base, map[string]string{"x": "rubbish"}))
	require.ErrorContains(t, err, "config.d/x")
}

func TestOnlyHypervisor(t *testing.T) {
	i, err := Load(files(t, "[hypervisor.clh]\nimage = \"/c\"\n", nil))
	require.NoError(t, err)
	require.Equal(t, Image{Hypervisor: "clh", Image: "/c"}, i)
}

// What is written is what is read.
func TestDropIn(t *testing.T) {
	path := files(t, base, nil)
	odd := `/a "b' \c`
	text, err := DropIn("qemu", []Key{{"image", odd}, {"kernel_verity_params", "root_hash=1,salt=2"}})
	require.NoError(t, err)
	dropIn := filepath.Join(filepath.Dir(path), "config.d", "60.toml")
	require.NoError(t, CanWrite(dropIn))
	require.NoError(t, os.WriteFile(dropIn, text, 0o600))
	require.NoError(t, CanWrite(dropIn))
	i, err := Load(path)
	require.NoError(t, err)
	require.Equal(t, Image{Hypervisor: "qemu", Image: odd, KernelParams: "one", KernelVerityParams: "root_hash=1,salt=2"}, i)

	require.NoError(t, os.WriteFile(dropIn, []byte("# mine\n"), 0o600))
	require.Error(t, CanWrite(dropIn))
	_, err = DropIn("a]b", nil)
	require.Error(t, err)
}

func TestNames(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	link := path + "-link"
	require.NoError(t, os.Symlink(path, link))
	require.True(t, Image{Image: link}.Names(path))
	require.True(t, Image{Initrd: path}.Names(link))
	require.False(t, Image{Image: "/none"}.Names(path))
	require.False(t, Image{}.Names(path))
}
