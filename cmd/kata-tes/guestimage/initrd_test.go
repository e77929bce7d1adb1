// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kata-tes/kata-tes/configs/guest"
	"github.com/stretchr/testify/require"
)

// compressors are the programs, as they are used for initrds.
var compressors = map[string][]string{
	"plain":     nil,
	"gzip":      {"gzip", "-9", "-n"},
	"zstd":      {"zstd", "-q", "-c"},
	"xz":        {"xz", "-c", "--check=crc32"},
	"xz blocks": {"xz", "-c", "--block-size=65536", "--threads=2"},
}

// makeInitrd is what Kata's initrd_builder.sh does. microcode comes before.
func makeInitrd(t *testing.T, root, compressor string, microcode bool) string {
	t.Helper()
	content := archive(t, root)
	if command := compressors[compressor]; command != nil {
		content = []byte(run(t, content, command[0], command[1:]...))
	}
	if microcode {
		folder := t.TempDir()
		put(t, folder, "kernel/x86/microcode/GenuineIntel.bin", bytes.Repeat([]byte("m"), 5000), 0o644)
		content = append(archive(t, folder), content...)
	}
	path := filepath.Join(t.TempDir(), "kata.initrd")
	require.NoError(t, os.WriteFile(path, content, 0o644))
	return path
}

func archive(t *testing.T, root string) []byte {
	t.Helper()
	var names []string
	require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		names = append(names, name)
		return err
	}))
	return []byte(run(t, []byte(strings.Join(names, "\n")), "cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0", "-D", root))
}

func TestInitrd(t *testing.T) {
	root := guestRoot(t)
	for compressor := range compressors {
		for _, microcode := range []bool{false, true} {
			name := compressor
			if microcode {
				name += " behind microcode"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				in := makeInitrd(t, root, compressor, microcode)
				before, err := os.ReadFile(in)
				require.NoError(t, err)
				result, err := install(t, in, nil)
				require.NoError(t, err)
				require.True(t, result.Complete())
				require.Equal(t, agentVersion, result.Agent.Version)
				require.Nil(t, result.Measured)

				after, err := os.ReadFile(result.Image)
				require.NoError(t, err)
				require.True(t, bytes.HasPrefix(after, before), "what was there is as it was")
				requireAppended(t, bytes.TrimLeft(after[len(before):], "\x00"))
				requireAgain(t, result)
			})
		}
	}
}

// requireAppended has cpio unpack what was appended.
func requireAppended(t *testing.T, archive []byte) {
	t.Helper()
	// Folders that the initrd has already are not in it.
	folder := t.TempDir()
	run(t, archive, "cpio", "--quiet", "-i", "-d", "-D", folder, "--no-absolute-filenames")
	agent, err := os.ReadFile(agentFile(t))
	require.NoError(t, err)
	for name, want := range map[string][]byte{
		"usr/bin/kata-tes-agent": agent, "usr/lib/systemd/system/kata-tes-agent.service": guest.Unit, "etc/kata-tes/agent.toml": guest.Configuration,
	} {
		content, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		require.Equal(t, want, content, name)
	}
	target, err := os.Readlink(filepath.Join(folder, "etc/systemd/system/kata-containers.target.wants/kata-tes-agent.service"))
	require.NoError(t, err)
	require.Equal(t, "/usr/lib/systemd/system/kata-tes-agent.service", target)
	listing := strings.Split(strings.TrimSpace(run(t, archive, "cpio", "--quiet", "-i", "-t", "-v", "-n")), "\n")
	require.Len(t, listing, 5)
	for _, line := range listing {
		require.Regexp(t, `^\S+ +\d+ 0 +0 `, line)
	}
	require.Regexp(t, `(?m)^-rwxr-xr-x .* usr/bin/kata-tes-agent$`, strings.Join(listing, "\n"))
}

// What was appended before is replaced, not added to.
func TestInitrdAgainWithAnother(t *testing.T) {
	root := guestRoot(t)
	put(t, root, "usr/sbin/mkfs.xfs", program(62), 0o755)
	in := makeInitrd(t, root, "gzip", false)
	integrity := func(r *Request) { r.Profile = "integrity" }
	first, err := install(t, in, nil)
	require.NoError(t, err)
	second, err := install(t, first.Image, integrity)
	require.NoError(t, err)
	require.True(t, second.Changed)
	direct, err := install(t, in, integrity)
	require.NoError(t, err)
	require.Equal(t, direct.SHA256, second.SHA256)
	// The configuration that is there stays.
	third, err := install(t, second.Image, nil)
	require.NoError(t, err)
	require.False(t, third.Changed)
	require.Equal(t, "integrity", third.Profiles["trusted_store"])
}

// A hard link's contents are with one of its names only.
func TestInitrdWithHardLinks(t *testing.T) {
	root := guestRoot(t)
	require.NoError(t, os.Link(filepath.Join(root, "usr/sbin/cryptsetup"), filepath.Join(root, "usr/sbin/another")))
	result, err := install(t, makeInitrd(t, root, "gzip", false), nil)
	require.NoError(t, err)
	require.True(t, result.Complete())
}

func TestInitrdRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, root string)
		words  string
	}{
		"another link": {func(t *testing.T, root string) {
			require.NoError(t, os.Symlink("/elsewhere", filepath.Join(root, "etc/systemd/system/kata-containers.target.wants/kata-tes-agent.service")))
		}, "a kernel does not replace"},
		"hard link": {func(t *testing.T, root string) {
			put(t, root, "usr/bin/kata-tes-agent", []byte("old"), 0o755)
			require.NoError(t, os.Link(filepath.Join(root, "usr/bin/kata-tes-agent"), filepath.Join(root, "usr/bin/other")))
		}, "has other names"},
		"init is another": {func(t *testing.T, root string) {
			require.NoError(t, os.Remove(filepath.Join(root, "init")))
			require.NoError(t, os.Symlink("/usr/bin/kata-agent", filepath.Join(root, "init")))
		}, "AGENT_INIT"},
		"fifo in the way": {func(t *testing.T, root string) {
			require.NoError(t, os.RemoveAll(filepath.Join(root, "etc/systemd/system/kata-containers.target.wants")))
			require.NoError(t, syscall.Mkfifo(filepath.Join(root, "etc/systemd/system/kata-containers.target.wants"), 0o600))
		}, "not a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			root := guestRoot(t)
			c.change(t, root)
			requireRefused(t, makeInitrd(t, root, "plain", false), c.words, nil)
		})
	}
}

func TestInitrdDamaged(t *testing.T) {
	root := guestRoot(t)
	for compressor := range compressors {
		t.Run(compressor, func(t *testing.T) {
			in := makeInitrd(t, root, compressor, false)
			content, err := os.ReadFile(in)
			require.NoError(t, err)
			for _, length := range []int{0, 3, 50, 300, len(content) / 2, len(content) - 700} {
				require.NoError(t, os.WriteFile(in, content[:length], 0o600))
				requireRefused(t, in, "", nil)
			}
			damaged := bytes.Clone(content)
			copy(damaged[len(damaged)/2:], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
			if compressor != "plain" {
				require.NoError(t, os.WriteFile(in, damaged, 0o600))
				requireRefused(t, in, "", nil)
			}
			// Something behind it that is no archive.
			require.NoError(t, os.WriteFile(in, append(bytes.Clone(content), "\x00\x00\x00\x00rubbish"...), 0o600))
			requireRefused(t, in, "", nil)
		})
	}
}
