// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package hostdev

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzLook reads what sysfs says of a device, whatever it says: only a plain "0"
// is a device that can be written to. What a
// mapping is called (whoever makes it chooses) is no reason for anything.
func FuzzLook(f *testing.F) {
	f.Add("0\n", "vg-lv\n", "../../devices/virtual/block/dm-7")
	f.Add("1\n", "", "dm-7")
	f.Add("", "open-local-pool-0-local--4f1c8a\n", "../../devices/pci0000:00/0000:00:05.0/virtio2/block/vda/vda1")
	f.Add("0 0", "a\x1b[2Jb\nc", "x\x07")
	f.Fuzz(func(t *testing.T, ro, name, target string) {
		if strings.Contains(target, "\x00") || target == "" || len(target) > 4000 {
			return // no symbolic link has it
		}
		n := Number{Major: 253, Minor: 7}
		root := t.TempDir()
		link := filepath.Join(root, "dev", "block", n.String())
		require.NoError(t, os.MkdirAll(filepath.Dir(link), 0o700))
		require.NoError(t, os.Symlink(target, link))
		h := Host{Sys: root}
		require.Contains(t, h.describe(n), n.String(), "a link that leads nowhere")

		require.NoError(t, os.Remove(link))
		require.NoError(t, os.MkdirAll(filepath.Join(link, "dm"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(link, "ro"), []byte(ro), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(link, "dm", "name"), []byte(name), 0o600))
		err := h.look(n)
		require.Equal(t, strings.TrimSpace(ro) == "0", err == nil, "%v", err)
		_, err = h.Open(Number{Major: 1 << 11, Minor: 1}, minimum)
		require.ErrorIs(t, err, ErrMissing)
	})
}
