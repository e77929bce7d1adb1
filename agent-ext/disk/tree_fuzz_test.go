// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// planted is a tree made of text, a line for each file: its path below the
// root, a space, its content, in which \n and \0 are what they say. A path that
// ends with / is a folder; "path -> target" is a symbolic link, which never
// leads upwards: this test runs as root, and the code under test writes.
func planted(root, text string) {
	for line := range strings.Lines(text) {
		path, content, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		// What cannot be planted (a path through a file, say) is left out.
		if !filepath.IsLocal(path) || len(path) > 200 {
			continue
		}
		at := filepath.Join(root, path)
		if os.MkdirAll(filepath.Dir(at), 0o700) != nil || os.RemoveAll(at) != nil {
			continue
		}
		switch target, isLink := strings.CutPrefix(content, "-> "); {
		case strings.HasSuffix(path, "/"):
			_ = os.Mkdir(at, 0o700)
		case isLink && filepath.IsLocal(target) && !strings.Contains(target, ".."):
			_ = os.Symlink(target, at)
		default:
			_ = os.WriteFile(at, []byte(strings.NewReplacer(`\n`, "\n", `\0`, "\x00").Replace(content)), 0o600)
		}
	}
}

// Disks in the form in which Linux shows them (sysfs-block), shortened to
// what is asked for.
const (
	scsiTree = `sys/block/sda/dev 8:0\n
sys/block/sda/removable 0\n
sys/block/sda/ro 0\n
sys/block/sda/size 2097152\n
sys/block/sda/holders/
sys/block/sda/device/vpd_pg80 ` + "\x00\x80\x00\x14" + someMarker + `
proc/self/mountinfo 22 1 0:21 / /run rw,nosuid shared:5 - tmpfs tmpfs rw,mode=755\n
`
	virtioTree = `sys/block/vda/dev 254:0\n
sys/block/vda/removable 0\n
sys/block/vda/ro 0\n
sys/block/vda/size 2097152\n
sys/block/vda/holders/
sys/block/vda/serial ` + someMarker + `
proc/self/mountinfo 22 1 0:21 / / rw - rootfs rootfs rw\n23 22 254:16 / /usr ro - ext4 /dev/vdb ro\n
`
)

// The trees that fuzzing begins with have a disk that is found and fit.
func TestPlantedTrees(t *testing.T) {
	for want, text := range map[string]string{"sda": scsiTree, "vda": virtioTree} {
		root := t.TempDir()
		planted(root, text)
		s := System{Sysfs: filepath.Join(root, "sys"), Proc: filepath.Join(root, "proc"), Dev: filepath.Join(root, "dev")}
		name, err := s.Find(t.Context(), someMarker, newEvents().listen)
		require.NoError(t, err)
		require.Equal(t, want, name)
		d, err := s.inspect(name, 64<<20)
		require.NoError(t, err)
		requireFit(t, s, name, d, 64<<20)
	}
}

// FuzzTree looks for a tree in which a disk is taken that must not be: a part of
// another, one in use, read-only or too small, or one whose name or whose
// attributes lead out of the tree.
func FuzzTree(f *testing.F) {
	f.Add(scsiTree)
	f.Add(virtioTree)
	f.Add(scsiTree + virtioTree)
	for _, change := range []string{
		"sys/block/sda/holders/dm-0 x", "sys/block/sda/sda1/partition 1", "sys/block/sda/ro 1", "sys/block/sda/size 8",
		`sys/block/sda/size 99999999999999999999\n`, `sys/block/sda/dev 8:0:0\n`, "sys/block/sda/dev 4294967296:-1", "sys/block/sda/removable 1",
		"sys/block/sda/removable", "sys/block/sdc -> sda", "sys/block/sda/holders -> device", "sys/block/sda/dev -> holders",
		`proc/self/mountinfo 9 1 8:0 / /x rw - ext4 /dev/sda rw\n`, `proc/self/mountinfo rubbish\n`, "proc/self/mountinfo", "dev/sda x", "dev/sda -> sdb",
		"sys/block/sdb/serial " + someMarker + "\nsys/block/sdb/holders/",
	} {
		f.Add(scsiTree + change + "\n")
	}
	f.Fuzz(func(t *testing.T, text string) {
		root := t.TempDir()
		planted(root, text)
		s := System{Sysfs: filepath.Join(root, "sys"), Proc: filepath.Join(root, "proc"), Dev: filepath.Join(root, "dev")}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		name, err := s.Find(ended, someMarker, newEvents().listen)
		if err != nil {
			require.Empty(t, name)
			return
		}
		require.True(t, filepath.IsLocal(name) && filepath.Base(name) == name, "%q", name)
		const minimum = 64 << 20
		d, err := s.inspect(name, minimum)
		if err == nil {
			requireFit(t, s, name, d, minimum)
		}
		// A tree of files has no block device, so that nothing can be taken.
		_, err = s.Take(name, someMarker, minimum)
		require.Error(t, err)
	})
}

// requireFit reads once more, plainly, what must hold of a disk that is fit.
func requireFit(t *testing.T, s System, name string, d *Disk, minimum uint64) {
	t.Helper()
	dir := filepath.Join(s.Sysfs, "block", name)
	read := func(attribute string) string {
		text, err := os.ReadFile(filepath.Join(dir, attribute))
		require.NoError(t, err)
		return strings.TrimSpace(string(text))
	}
	require.Equal(t, d.Number(), read("dev"), "another device's number")
	require.Equal(t, "0", read("ro"))
	require.Equal(t, "0", read("removable"))
	require.GreaterOrEqual(t, d.Size, minimum)
	require.Zero(t, d.Size%sectorSize)
	holders, err := os.ReadDir(filepath.Join(dir, "holders"))
	require.NoError(t, err)
	require.Empty(t, holders)
	require.NoFileExists(t, filepath.Join(dir, "partition"), "it is a part of another")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		require.NoFileExists(t, filepath.Join(dir, e.Name(), "partition"), "it has parts")
	}
	mounts, err := os.ReadFile(filepath.Join(s.Proc, "self", "mountinfo"))
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 2 {
			require.NotEqual(t, d.Number(), fields[2], "it is mounted")
		}
	}
}
