// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kata-tes/kata-tes/agent-ext/command"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What mkfs writes does not grow with the disk, and so neither does the time.
func TestMakeDoesNotGrow(t *testing.T) {
	for _, c := range []struct {
		kind  Type
		magic string
		at    int64
	}{
		{Ext4, "\x53\xef", 1024 + 56},
		{XFS, "XFSB", 0},
	} {
		t.Run(c.kind.Name, func(t *testing.T) {
			mkfs, err := exec.LookPath("mkfs." + c.kind.Name)
			if err != nil {
				t.Skip("needs mkfs." + c.kind.Name)
			}
			written := func(size int64) int64 {
				disk := filepath.Join(t.TempDir(), "disk")
				// What an earlier pod has left is no obstacle.
				require.NoError(t, os.WriteFile(disk, []byte("XFSB and more"), 0o600))
				require.NoError(t, os.Truncate(disk, size))
				require.NoError(t, c.kind.Make(t.Context(), command.Real{}, mkfs, disk))
				f, err := os.Open(disk)
				require.NoError(t, err)
				defer func() { require.NoError(t, f.Close()) }()
				magic := make([]byte, len(c.magic))
				_, err = f.ReadAt(magic, c.at)
				require.NoError(t, err)
				require.Equal(t, c.magic, string(magic))
				var st unix.Stat_t
				require.NoError(t, unix.Fstat(int(f.Fd()), &st))
				return st.Blocks * 512
			}
			small, large := written(1<<30), written(1<<40)
			t.Logf("1 GiB: %d KiB, 1 TiB: %d KiB", small>>10, large>>10)
			require.Less(t, large, small+4<<20)
		})
	}
}
