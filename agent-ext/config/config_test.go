// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/stretchr/testify/require"
)

// The file that we ship says what the defaults are.
func TestShippedFileIsTheDefault(t *testing.T) {
	shipped, err := Load(filepath.Join("..", "..", "configs", "guest", "agent.toml"))
	require.NoError(t, err)
	require.Equal(t, Default(), shipped)
}

func TestDefaultIsValid(t *testing.T) {
	require.NoError(t, Default().check())
	empty, err := Parse(nil)
	require.NoError(t, err)
	require.Equal(t, Default(), empty)
}

func TestParse(t *testing.T) {
	c, err := Parse([]byte(`
header_directory = "/run/headers"
[tools]
cryptsetup = "/bin/cryptsetup"
[store.trusted_store]
minimum_size = "1GiB"
find_timeout = "5s"
[store.data]
mapping = "data"
mount_points = ["/run/data"]
prepare_timeout = "10m"
`))
	require.NoError(t, err)
	require.Equal(t, "/run/headers", c.HeaderDirectory)
	require.Equal(t, Tools{Cryptsetup: "/bin/cryptsetup", MkfsExt4: "/usr/sbin/mkfs.ext4", MkfsXFS: "/usr/sbin/mkfs.xfs"}, c.Tools)
	want := Default().Stores[agentproto.ImageStore]
	want.MinimumSize, want.FindTimeout = 1<<30, Duration(5*time.Second)
	require.Equal(t, want, c.Stores[agentproto.ImageStore])
	require.Equal(t, []string{"/run/data"}, c.Stores["data"].MountPoints)
	require.Equal(t, 10*time.Minute, c.LongestCall())
}

func TestRefused(t *testing.T) {
	for text, words := range map[string]string{
		`chiper = "x"`:                                                              "chiper",
		"[store.trusted_store]\ncipher = \"x\"":                                     "cipher",
		`header_directory = 5`:                                                      "header_directory",
		`header_directory = "run/x"`:                                                "header_directory",
		`header_directory = "/run/../etc"`:                                          "header_directory",
		`header_directory = "/"`:                                                    "header_directory",
		"[tools]\ncryptsetup = \"cryptsetup\"":                                      "tools.cryptsetup",
		"[tools]\nmkfs_xfs = \"mkfs.xfs\"":                                          "tools.mkfs_xfs",
		`x = `:                                                                      "not valid",
		"[store.trusted_store]\nprofile = \"none\"":                                 "profile",
		"[store.trusted_store]\nmapping = \"../x\"":                                 "mapping",
		"[store.trusted_store]\nmapping = \"control\"":                              "mapping",
		"[store.trusted_store]\nmount_points = [\"image\"]":                         "mount_points",
		"[store.trusted_store]\nmount_points = [\"/a\", \"/a\"]":                    "twice",
		"[store.trusted_store]\nmount_points = [\"/a\", \"/a/b\"]":                  "/a/b",
		"[store.trusted_store]\nmount_points = [\"/run\"]":                          "header_directory",
		"[store.trusted_store]\nmount_points = [\"/run/kata-tes/x\"]":               "header_directory",
		"[store.trusted_store]\nminimum_size = \"16MiB\"":                           "minimum_size",
		"[store.trusted_store]\nminimum_size = \"64MB\"":                            "64MB",
		"[store.trusted_store]\nprofile = \"integrity\"\nminimum_size = \"128MiB\"": "less than 336 MiB, which a store of profile integrity needs",
		"[store.trusted_store]\nprofile = \"integrity\"\n[store.d]\nmapping = \"ephemeral_image_encrypted_disk_dif\"\nmount_points = [\"/m\"]": "twice",
		"[store.trusted_store]\nminimum_size = \"-1\"":                                                            "-1",
		"[store.trusted_store]\nminimum_size = \"99999999TiB\"":                                                   "too large",
		"[store.trusted_store]\nfind_timeout = \"20\"":                                                            "20",
		"[store.trusted_store]\nfind_timeout = \"-5s\"":                                                           "find_timeout",
		"[store.\"a b\"]\nmapping = \"m\"\nmount_points = [\"/m\"]":                                               "a b",
		"[store.\"..\"]\nmapping = \"m\"\nmount_points = [\"/m\"]":                                                "name",
		"[store.data]\nmapping = \"m\"":                                                                           "store.data",
		"[store.trusted_store]\n[store.d]\nmapping = \"ephemeral_image_encrypted_disk\"\nmount_points = [\"/m\"]": "twice",
		"[store.trusted_store]\n[store.d]\nmapping = \"d\"\nmount_points = [\"/run/image/sub\"]":                  "/run/image/sub",
	} {
		_, err := Parse([]byte(text))
		require.ErrorContains(t, err, words, text)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.toml")
	_, err := Load(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, path)
	require.NoError(t, os.WriteFile(path, []byte("x = 1"), 0o600))
	_, err = Load(path)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "unknown key")
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "512": 512, "1KiB": 1 << 10, "64 MiB": 64 << 20, "2GiB": 2 << 30, "3TiB": 3 << 40} {
		var s Size
		require.NoError(t, s.UnmarshalText([]byte(text)), text)
		require.Equal(t, want, s, text)
	}
}

func FuzzParse(f *testing.F) {
	shipped, err := os.ReadFile(filepath.Join("..", "..", "configs", "guest", "agent.toml"))
	require.NoError(f, err)
	f.Add(shipped)
	f.Add([]byte("[store.x]\nmapping = \"x\"\nmount_points = [\"/x\"]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		require.NoError(t, c.check())
		require.NotEmpty(t, c.Stores)
	})
}

// A profile brings its own least size, and belongs to one store.
func TestProfiles(t *testing.T) {
	c, err := Parse([]byte(`
[store.trusted_store]
profile = "integrity"
[store.data]
mapping = "data"
mount_points = ["/run/data"]
`))
	require.NoError(t, err)
	sealed, plain := c.Stores[agentproto.ImageStore], c.Stores["data"]
	require.Equal(t, profile.Integrity, sealed.Profile)
	require.Equal(t, Size(336<<20), sealed.MinimumSize)
	require.Equal(t, profile.Confidentiality, plain.Profile)
	require.Equal(t, Size(64<<20), plain.MinimumSize)

	key, path := c.Tools.Mkfs(sealed.Profile.FileSystem)
	require.Equal(t, []string{"mkfs_xfs", "/usr/sbin/mkfs.xfs"}, []string{key, path})
	key, path = c.Tools.Mkfs(plain.Profile.FileSystem)
	require.Equal(t, []string{"mkfs_ext4", "/usr/sbin/mkfs.ext4"}, []string{key, path})
}
