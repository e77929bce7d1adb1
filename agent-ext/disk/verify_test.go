// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const minimum = 64 << 20

func TestInspect(t *testing.T) {
	tr := newTree(t)
	tr.scsi("sda", "8:0", someMarker)
	d, err := tr.inspect("sda", minimum)
	require.NoError(t, err)
	require.Equal(t, uint64(minimum), d.Size)
	require.Equal(t, "8:0", d.Number())
}

func TestInspectRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(tree)
		words  string
	}{
		"read-only":     {func(tr tree) { tr.set("sda", "ro", "1\n") }, "read-only"},
		"removable":     {func(tr tree) { tr.set("sda", "removable", "1\n") }, "removable"},
		"partitions":    {func(tr tree) { tr.set("sda", "sda1/partition", "1\n") }, "partition table"},
		"holder":        {func(tr tree) { tr.mkdir(tr.Sysfs, "block", "sda", "holders", "dm-0") }, "dm-0"},
		"small":         {func(tr tree) { tr.set("sda", "size", "131071\n") }, "larger volume"},
		"no medium":     {func(tr tree) { tr.set("sda", "size", "0\n") }, "0 bytes"},
		"strange size":  {func(tr tree) { tr.set("sda", "size", "-1\n") }, "-1"},
		"large size":    {func(tr tree) { tr.set("sda", "size", "99999999999999999999\n") }, "size"},
		"strange dev":   {func(tr tree) { tr.set("sda", "dev", "x\n") }, "device number"},
		"gone":          {func(tr tree) { require.NoError(tr.t, os.RemoveAll(filepath.Join(tr.Sysfs, "block", "sda"))) }, "sda"},
		"mounted":       {func(tr tree) { tr.write("30 1 8:0 / /data rw - ext4 /dev/sda rw\n", tr.Proc, "self", "mountinfo") }, "/data"},
		"no mountinfo":  {func(tr tree) { require.NoError(tr.t, os.RemoveAll(tr.Proc)) }, "mounts"},
		"bad mountinfo": {func(tr tree) { tr.write("nonsense\n", tr.Proc, "self", "mountinfo") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			tr.scsi("sda", "8:0", someMarker)
			c.change(tr)
			_, err := tr.inspect("sda", minimum)
			require.Error(t, err)
			require.ErrorContains(t, err, c.words)
			if !strings.Contains(name, "mountinfo") {
				require.ErrorIs(t, err, ErrUnfit)
			}
		})
	}
}

// loop is a tree with a real loop device, called vdx there.
type loop struct {
	tree
	device string
	number string
}

func newLoop(t *testing.T) loop {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a loop device")
	}
	image := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, minimum))
	out, err := exec.Command("losetup", "--find", "--show", image).Output()
	if err != nil {
		t.Skip("needs a loop device: " + err.Error())
	}
	l := loop{tree: newTree(t), device: strings.TrimSpace(string(out))}
	t.Cleanup(func() { require.NoError(t, exec.Command("losetup", "--detach", l.device).Run()) })
	var st unix.Stat_t
	require.NoError(t, unix.Stat(l.device, &st))
	l.number = fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	l.virtio("vdx", l.number, someMarker)
	return l
}

func (l loop) node(path string) {
	l.t.Helper()
	var st unix.Stat_t
	require.NoError(l.t, unix.Stat(l.device, &st))
	require.NoError(l.t, unix.Mknod(path, unix.S_IFBLK|0o600, int(st.Rdev)))
}

func TestTake(t *testing.T) {
	l := newLoop(t)
	l.node(filepath.Join(l.Dev, "vdx"))
	require.NoError(t, os.WriteFile(l.device, []byte("LUKS\xba\xbe\x00\x02"), 0))
	d, err := l.Take("vdx", someMarker, minimum)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(l.Dev, "vdx"), d.Path)
	require.Equal(t, l.number, d.Number())
	begin := make([]byte, 8)
	f, err := os.Open(l.device)
	require.NoError(t, err)
	_, err = f.ReadAt(begin, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, make([]byte, 8), begin, "old signatures are gone")

	// The claim is not kept: cryptsetup needs it.
	f, err = os.OpenFile(l.device, os.O_RDWR|unix.O_EXCL, 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.NoError(t, d.Close())
}

func TestTakeMakesANode(t *testing.T) {
	l := newLoop(t)
	stale := filepath.Join(l.Nodes, "vdx")
	l.write("left by an earlier attempt", stale)
	d, err := l.Take("vdx", someMarker, minimum)
	require.NoError(t, err)
	require.Equal(t, stale, d.Path)
	require.NoError(t, d.Close())
	require.NoFileExists(t, d.Path)
}

func TestTakeRefuses(t *testing.T) {
	signed := []byte("old contents")
	for name, c := range map[string]struct {
		change func(t *testing.T, l loop)
		words  string
	}{
		"in use": {func(t *testing.T, l loop) {
			l.node(filepath.Join(l.Dev, "vdx"))
			f, err := os.OpenFile(l.device, os.O_RDONLY|unix.O_EXCL, 0)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, f.Close()) })
		}, "in use"},
		"the node is a file": {func(_ *testing.T, l loop) { l.write("x", l.Dev, "vdx") }, "not the block device"},
		"the node is a link": {func(t *testing.T, l loop) {
			require.NoError(t, os.Symlink(l.device, filepath.Join(l.Dev, "vdx")))
		}, "not the block device"},
		"the node is another disk": {func(t *testing.T, l loop) {
			require.NoError(t, unix.Mknod(filepath.Join(l.Dev, "vdx"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 255))))
		}, "not the block device"},
		"another serial": {func(_ *testing.T, l loop) {
			l.node(filepath.Join(l.Dev, "vdx"))
			l.set("vdx", "serial", otherMarker)
		}, "changed its serial"},
		"mounted": {func(_ *testing.T, l loop) {
			l.node(filepath.Join(l.Dev, "vdx"))
			l.write("30 1 "+l.number+" / /data rw - ext4 /dev/x rw\n", l.Proc, "self", "mountinfo")
		}, "mounted at /data"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoop(t)
			require.NoError(t, os.WriteFile(l.device, signed, 0))
			c.change(t, l)
			_, err := l.Take("vdx", someMarker, minimum)
			require.ErrorIs(t, err, ErrUnfit)
			require.ErrorContains(t, err, c.words)
			begin := make([]byte, len(signed))
			f, err := os.Open(l.device)
			require.NoError(t, err)
			_, err = f.ReadAt(begin, 0)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			require.Equal(t, signed, begin, "a refused disk is not touched")
		})
	}
}

// memoryDisk is a disk of bytes.
type memoryDisk []byte

func (m memoryDisk) WriteAt(p []byte, at int64) (int, error) { return copy(m[at:], p), nil }

func TestEraseSignatures(t *testing.T) {
	const size = 24 << 20
	disk := make(memoryDisk, size)
	for i := range disk {
		disk[i] = 0xff
	}
	require.NoError(t, eraseSignatures(disk, size))
	zero := func(at int) bool { return disk[at] == 0 }
	// LUKS1, LUKS2 and its second copy at each place that it can have.
	for _, at := range []int{0, 0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x200000, 0x400000} {
		require.True(t, zero(at) && zero(at+7), at)
	}
	// ext4, swap, btrfs.
	for _, at := range []int{1024 + 56, 4086, 65536 + 64} {
		require.True(t, zero(at), at)
	}
	// Nothing where the encrypted data begins.
	require.NotContains(t, string(disk[16<<20:]), "\x00")

	small := make(memoryDisk, 1<<20)
	require.NoError(t, eraseSignatures(small, 1<<20))
}
