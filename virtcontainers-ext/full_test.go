// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp"
)

// newThinDisk is a sparse file with less room below it than its size, as a
// volume in a thin pool may have. (ext4, because tmpfs has no O_DIRECT before
// Linux 6.6.)
func newThinDisk(t *testing.T) disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for a loop device")
	}
	image, at := filepath.Join(t.TempDir(), "pool.img"), t.TempDir()
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, 16<<20))
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, at}} {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		require.NoError(t, err, "%v: %s", command, out)
	}
	t.Cleanup(func() {
		out, err := exec.Command("umount", at).CombinedOutput()
		require.NoError(t, err, "umount: %s", out)
	})
	d := disk{path: filepath.Join(at, "disk")}
	require.NoError(t, os.WriteFile(d.path, nil, 0o600))
	require.NoError(t, os.Truncate(d.path, 64<<20))
	return d
}

// A disk without room left is the guest's error, as any other error of the disk
// is. QEMU's own answer is to stop the virtual machine, and both agents with it.
func TestFullDiskDoesNotStopTheMachine(t *testing.T) {
	for name, args := range map[string][]string{"scsi": scsi, "virtio-blk": bridge} {
		t.Run(name, func(t *testing.T) {
			d := newThinDisk(t)
			g := bootGuest(t, args...)
			t.Cleanup(g.kill) // before the disk's file system can be unmounted
			require.NoError(t, d.attach(t.Context(), t, g.Sandbox, newMarker()))

			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			conn, err := qmp.Dial(ctx, g.monitor, "BLOCK_IO_ERROR")
			require.NoError(t, err)
			defer func() { require.NoError(t, conn.Close()) }()
			event, err := conn.Await(ctx, func(qmp.Event) bool { return true })
			require.NoError(t, err, "the guest fills the disk")
			var told struct{ Action, Reason string }
			require.NoError(t, json.Unmarshal(event.Data, &told))
			require.Equal(t, unix.ENOSPC.Error(), strings.ToLower(told.Reason))
			require.Equal(t, "report", told.Action)
			running, err := machine{conn}.running(ctx)
			require.NoError(t, err)
			require.True(t, running)
		})
	}
}
