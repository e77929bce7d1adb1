// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package hostdev

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const (
	mebibyte = 1 << 20
	minimum  = 64 * mebibyte
)

// loopDevice makes a block device of that size, in bytes.
func loopDevice(t *testing.T, size int64, options ...string) (path string, n Number) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	if _, err := exec.LookPath("losetup"); err != nil {
		t.Skip("needs losetup (Debian package mount)")
	}
	file := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Truncate(file, size))
	path = run(t, "losetup", append(options, "--find", "--show", file)...)
	t.Cleanup(func() { run(t, "losetup", "--detach", path) })
	return path, numberOf(t, path)
}

func numberOf(t *testing.T, path string) Number {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	return Number{Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev)}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var warnings strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stderr = &warnings
	output, err := cmd.Output()
	require.NoError(t, err, "%s %v: %s", name, args, warnings.String())
	return strings.TrimSpace(string(output))
}

// host makes its nodes in a folder of the test's own, which must be empty
// again at the end. (Not below /tmp, which may be mounted nodev.)
func host(t *testing.T) Host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for mknod")
	}
	dir, err := os.MkdirTemp("/dev", "kata-tes-test-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.Remove(dir), "a device node is left") })
	return Host{Dev: dir}
}

// requireUnclaimed makes sure that nobody holds the device any more.
func requireUnclaimed(t *testing.T, n Number) {
	t.Helper()
	f, err := host(t).Open(n, minimum)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestOpen(t *testing.T) {
	path, n := loopDevice(t, minimum)
	f, err := host(t).Open(n, minimum)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()

	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	require.NoError(t, err)
	require.Equal(t, unix.O_RDWR|unix.O_DIRECT, flags&(unix.O_ACCMODE|unix.O_DIRECT))
	descriptor, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
	require.NoError(t, err)
	require.Equal(t, unix.FD_CLOEXEC, descriptor)
	require.Contains(t, f.Name(), n.String()+" ("+filepath.Base(path)+")")
}

// The claim is the lock between two pods: it holds as long as any duplicate is
// open, and keeps mounts away too.
func TestOpenIsExclusive(t *testing.T) {
	path, n := loopDevice(t, minimum)
	f, err := host(t).Open(n, minimum)
	require.NoError(t, err)
	copied, err := unix.Dup(int(f.Fd()))
	require.NoError(t, err)
	require.NoError(t, f.Close())

	_, err = host(t).Open(n, minimum)
	require.ErrorIs(t, err, ErrInUse)
	_, err = unix.Open(path, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
	require.ErrorIs(t, err, unix.EBUSY)

	require.NoError(t, unix.Close(copied))
	requireUnclaimed(t, n)
}

func TestOpenRefusesAMountedDevice(t *testing.T) {
	path, n := loopDevice(t, minimum)
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("needs mkfs.ext4 (Debian package e2fsprogs)")
	}
	run(t, "mkfs.ext4", "-q", path)
	target := t.TempDir()
	run(t, "mount", path, target)
	mounted := true
	t.Cleanup(func() {
		if mounted {
			run(t, "umount", target)
		}
	})

	_, err := host(t).Open(n, minimum)
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, "mounted at "+target)

	run(t, "umount", target)
	mounted = false
	requireUnclaimed(t, n)
}

func TestOpenRefusesAReadOnlyDevice(t *testing.T) {
	_, n := loopDevice(t, minimum, "--read-only")
	_, err := host(t).Open(n, minimum)
	require.ErrorIs(t, err, ErrReadOnly)
}

// sysfs is asked first for the sake of the message. Where it is wrong, the open
// file has the last word.
func TestOpenRefusesAReadOnlyDeviceWithoutSysfs(t *testing.T) {
	_, n := loopDevice(t, minimum, "--read-only")
	h := host(t)
	h.Sys = fakeSys(t, n, "0")
	_, err := h.Open(n, minimum)
	require.ErrorIs(t, err, ErrReadOnly)
}

func TestOpenChecksTheSize(t *testing.T) {
	for name, test := range map[string]struct {
		size int64
		err  error
	}{
		"a sector too small": {minimum - 4096, ErrTooSmall},
		"not even":           {minimum + 512, ErrUneven},
		"just large enough":  {minimum, nil},
		"a sector larger":    {minimum + 4096, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, n := loopDevice(t, test.size)
			f, err := host(t).Open(n, minimum)
			require.ErrorIs(t, err, test.err)
			if err == nil {
				require.NoError(t, f.Close())
				return
			}
			// The claim ended with the refusal.
			f, err = host(t).claim(n)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		})
	}
}

func TestOpenRefusesAnEmptyDevice(t *testing.T) {
	_, n := loopDevice(t, 0)
	_, err := host(t).Open(n, 0)
	require.ErrorIs(t, err, ErrTooSmall)
}

// A number whose device has gone between sysfs and open.
func TestOpenOfADeviceThatVanished(t *testing.T) {
	n := Number{Major: 4095, Minor: 1048575}
	h := host(t)
	h.Sys = fakeSys(t, n, "0")
	_, err := h.Open(n, minimum)
	require.ErrorIs(t, err, ErrMissing)
}

func TestCheckNumberRefusesAnotherDevice(t *testing.T) {
	_, n := loopDevice(t, minimum)
	f, err := host(t).Open(n, minimum)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	require.NoError(t, checkNumber(f, n))
	require.ErrorIs(t, checkNumber(f, Number{Major: n.Major, Minor: n.Minor + 1}), ErrReplaced)

	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, null.Close()) }()
	require.ErrorIs(t, checkNumber(null, numberOf(t, "/dev/null")), ErrReplaced, "a character device of the same number")
}
