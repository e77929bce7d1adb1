// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package hostdev

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fakeSys is a sysfs with one device.
func fakeSys(t *testing.T, n Number, readOnly string) string {
	t.Helper()
	root := t.TempDir()
	device := filepath.Join(root, "devices", "dm-7")
	require.NoError(t, os.MkdirAll(filepath.Join(device, "dm"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(device, "holders", "dm-8"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "dev", "block"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(device, "ro"), []byte(readOnly+"\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(device, "dm", "name"), []byte("vg-lv\n"), 0o600))
	require.NoError(t, os.Symlink("../../devices/dm-7", filepath.Join(root, "dev", "block", n.String())))
	return root
}

func TestLook(t *testing.T) {
	n := Number{Major: 253, Minor: 7}
	require.NoError(t, Host{Sys: fakeSys(t, n, "0")}.look(n))
	require.ErrorIs(t, Host{Sys: fakeSys(t, n, "1")}.look(n), ErrReadOnly)
	require.ErrorIs(t, Host{Sys: fakeSys(t, n, "0")}.look(Number{Major: 253, Minor: 8}), ErrMissing)
	require.ErrorIs(t, Host{Sys: t.TempDir()}.look(n), ErrMissing)
}

// The message names the device as people know it and says what to do.
func TestRefusalForAPerson(t *testing.T) {
	n := Number{Major: 253, Minor: 7}
	_, err := Host{Sys: fakeSys(t, n, "1")}.Open(n, minimum)
	require.EqualError(t, err, "block device 253:7 (dm-7 vg-lv): the block device is read-only; make it writable (lvchange -prw, blockdev --setrw), or take readOnly off the volume")
	_, err = Host{Sys: t.TempDir()}.Open(n, minimum)
	require.EqualError(t, err, "block device 253:7: there is no such block device on the node; check that the persistent volume's disk is attached to this node, then create the pod again")
}

func TestExplain(t *testing.T) {
	n := Number{Major: 253, Minor: 7}
	h := Host{Sys: fakeSys(t, n, "0")}
	require.ErrorIs(t, h.explain(n, unix.EBUSY), ErrInUse)
	require.ErrorContains(t, h.explain(n, unix.EBUSY), "(part of dm-8)")
	require.ErrorIs(t, h.explain(n, unix.EROFS), ErrReadOnly)
	require.ErrorIs(t, h.explain(n, unix.ENXIO), ErrMissing)
	require.ErrorIs(t, h.explain(n, unix.ENODEV), ErrMissing)
	require.ErrorIs(t, h.explain(n, unix.EACCES), unix.EACCES)
}

func TestNodeThatCannotBeMade(t *testing.T) {
	n := Number{Major: 253, Minor: 7}
	_, err := Host{Sys: fakeSys(t, n, "0"), Dev: filepath.Join(t.TempDir(), "none")}.Open(n, minimum)
	require.Error(t, err)
	require.ErrorContains(t, err, "making the device node")
}

func TestCheckSize(t *testing.T) {
	for _, test := range []struct {
		size, minimum uint64
		err           error
	}{
		{0, 0, ErrTooSmall},
		{512, 0, ErrTooSmall},
		{4096, 0, nil},
		{minimum - 1, minimum, ErrTooSmall},
		{minimum, minimum, nil},
		{minimum + 512, minimum, ErrUneven},
		{1 << 50, minimum, nil},
	} {
		require.ErrorIs(t, checkSize(test.size, test.minimum), test.err, "%+v", test)
	}
}
