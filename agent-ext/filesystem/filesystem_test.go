// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kata-tes/kata-tes/agent-ext/command"
	"github.com/moby/sys/mountinfo"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestMountPointIsMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "c")
	dir, err := openMountPoint(path)
	require.NoError(t, err)
	require.NoError(t, dir.Close())
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755)|os.ModeDir, info.Mode())
	// And again, now that it is there.
	dir, err = openMountPoint(path)
	require.NoError(t, err)
	require.NoError(t, dir.Close())
}

func TestUnfitMountPoints(t *testing.T) {
	cases := map[string]func(t *testing.T, root string) string{
		"not empty": func(t *testing.T, root string) string {
			require.NoError(t, os.WriteFile(filepath.Join(root, ".hidden"), nil, 0o600))
			return root
		},
		"a file": func(t *testing.T, root string) string {
			path := filepath.Join(root, "file")
			require.NoError(t, os.WriteFile(path, nil, 0o600))
			return path
		},
		"a link": func(t *testing.T, root string) string {
			require.NoError(t, os.Mkdir(filepath.Join(root, "real"), 0o700))
			require.NoError(t, os.Symlink("real", filepath.Join(root, "link")))
			return filepath.Join(root, "link")
		},
		"a link on the way": func(t *testing.T, root string) string {
			require.NoError(t, os.MkdirAll(filepath.Join(root, "real", "sub"), 0o700))
			require.NoError(t, os.Symlink("real", filepath.Join(root, "link")))
			return filepath.Join(root, "link", "sub")
		},
		"a dangling link": func(t *testing.T, root string) string {
			require.NoError(t, os.Symlink("nowhere", filepath.Join(root, "link")))
			return filepath.Join(root, "link", "sub")
		},
		"a file on the way": func(t *testing.T, root string) string {
			require.NoError(t, os.WriteFile(filepath.Join(root, "file"), nil, 0o600))
			return filepath.Join(root, "file", "sub")
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			_, err := openMountPoint(prepare(t, root))
			require.ErrorIs(t, err, ErrMountPoint)
			require.NoDirExists(t, filepath.Join(root, "nowhere"))
		})
	}
}

// needMounts skips where mounting is not allowed.
func needMounts(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for mounts")
	}
}

// loopDevice is an ext4 file system on a loop device, made by Make.
func loopDevice(t *testing.T) string {
	t.Helper()
	needMounts(t)
	for _, tool := range []string{"losetup", "mkfs.ext4"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs " + tool)
		}
	}
	image := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, 64<<20))
	out, err := exec.Command("losetup", "--find", "--show", image).Output()
	if err != nil {
		t.Skip("needs a loop device: " + err.Error())
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() { require.NoError(t, exec.Command("losetup", "--detach", device).Run()) })
	mkfs, err := exec.LookPath("mkfs.ext4")
	require.NoError(t, err)
	require.NoError(t, Ext4.Make(t.Context(), command.Real{}, mkfs, device))
	return device
}

// unmountAll cleans up after a test that fails in between.
func unmountAll(t *testing.T, paths ...string) {
	t.Cleanup(func() {
		for _, path := range paths {
			_ = unix.Unmount(path, unix.MNT_DETACH)
		}
	})
}

func TestMountBindUnmount(t *testing.T) {
	device := loopDevice(t)
	root := t.TempDir()
	first, second := filepath.Join(root, "run/image"), filepath.Join(root, "run/kata/image")
	unmountAll(t, second, first)

	require.NoError(t, Ext4.Mount(device, first))
	require.NoError(t, Bind(first, second))
	require.DirExists(t, filepath.Join(second, "lost+found"))
	infos, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(first))
	require.NoError(t, err)
	require.Len(t, infos, 1)
	require.Equal(t, "ext4", infos[0].FSType)
	require.Equal(t, "rw,relatime", infos[0].Options)
	require.Equal(t, device, infos[0].Source)
	for _, at := range []string{first, second} {
		mounted, err := Mounted(device, at)
		require.NoError(t, err)
		require.True(t, mounted)
	}
	size, used, err := Usage(second)
	require.NoError(t, err)
	require.Greater(t, size, uint64(50<<20))
	require.Less(t, used, size/10)

	// A second mount at the same place would shadow the first.
	require.ErrorIs(t, Ext4.Mount(device, first), ErrMountPoint)

	require.NoError(t, Unmount(device, second))
	require.NoError(t, Unmount(device, first))
	mounted, err := Mounted(device, first)
	require.NoError(t, err)
	require.False(t, mounted)
	// Again, and at a place that never was: nothing to do.
	require.NoError(t, Unmount(device, first))
	require.NoError(t, Unmount(device, filepath.Join(root, "never")))
}

func TestUnmountInUse(t *testing.T) {
	device := loopDevice(t)
	at := filepath.Join(t.TempDir(), "image")
	unmountAll(t, at)
	require.NoError(t, Ext4.Mount(device, at))
	f, err := os.Create(filepath.Join(at, "file"))
	require.NoError(t, err)
	require.ErrorIs(t, Unmount(device, at), ErrInUse)
	require.NoError(t, f.Close())
	require.NoError(t, Unmount(device, at))
}

func TestUnmountLeavesWhatOthersMountedOverIt(t *testing.T) {
	device := loopDevice(t)
	at := filepath.Join(t.TempDir(), "image")
	unmountAll(t, at, at)
	require.NoError(t, Ext4.Mount(device, at))
	require.NoError(t, unix.Mount("tmpfs", at, "tmpfs", 0, ""))
	require.ErrorIs(t, Unmount(device, at), ErrInUse)
	mounted, err := Mounted(device, at)
	require.NoError(t, err)
	require.False(t, mounted)
	require.NoError(t, unix.Unmount(at, 0))
	require.NoError(t, Unmount(device, at))
}

func TestMountRefusesMountPoints(t *testing.T) {
	needMounts(t)
	at := filepath.Join(t.TempDir(), "image")
	unmountAll(t, at)
	require.NoError(t, CheckMountPoint(at), "it is made")
	require.NoError(t, unix.Mount("tmpfs", at, "tmpfs", 0, ""))
	require.ErrorIs(t, CheckMountPoint(at), ErrMountPoint)
	require.ErrorIs(t, mountAs("tmpfs", "tmpfs", at), ErrMountPoint)
	require.ErrorIs(t, Bind(t.TempDir(), at), ErrMountPoint)
}

func TestMakeFails(t *testing.T) {
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		t.Skip("needs mkfs.ext4")
	}
	err = Ext4.Make(t.Context(), command.Real{}, mkfs, filepath.Join(t.TempDir(), "absent"))
	require.ErrorContains(t, err, "running mkfs.ext4")
	require.ErrorContains(t, err, "absent")
}

func TestCheckUnused(t *testing.T) {
	points := []string{"/run/image", "/run/kata-containers/image"}
	for name, c := range map[string]struct {
		table string
		inUse bool
	}{
		"ours only": {table: "40 1 253:0 / /run/image rw,relatime - ext4 /dev/mapper/x rw\n41 1 253:0 / /run/kata-containers/image rw,relatime - ext4 /dev/mapper/x rw\n"},
		"an overlay on it": {
			table: "50 1 0:44 / /run/kata-containers/abc/rootfs rw,relatime - overlay overlay rw,lowerdir=/run/image/layers/1:/run/image/layers/2,upperdir=/run/image/overlay/u,workdir=/run/image/overlay/w\n",
			inUse: true,
		},
		"an overlay by the second name": {
			table: "50 1 0:44 / /x rw - overlay overlay rw,lowerdir=/run/kata-containers/image/layers/1,upperdir=/tmp/u,workdir=/tmp/w\n",
			inUse: true,
		},
		"an overlay elsewhere": {table: "50 1 0:44 / /x rw - overlay overlay rw,lowerdir=/run/images/1,upperdir=/tmp/u,workdir=/tmp/w\n"},
		"a mount below":        {table: "51 1 0:45 / /run/image/layers/1 rw - tmpfs tmpfs rw\n", inUse: true},
		"a similar name":       {table: "51 1 0:45 / /run/image2/x rw - tmpfs tmpfs rw\n"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkUnused(strings.NewReader(c.table), points)
			if c.inUse {
				require.ErrorIs(t, err, ErrInUse)
			} else {
				require.NoError(t, err)
			}
		})
	}
	require.Error(t, checkUnused(strings.NewReader("nonsense\n"), points))
	require.NoError(t, CheckUnused([]string{"/no/such/mount/point"}))
}
