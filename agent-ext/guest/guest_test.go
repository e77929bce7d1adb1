// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/stretchr/testify/require"
)

func TestCheckTools(t *testing.T) {
	c := config.Default()
	// A mkfs that no store needs may be missing.
	c.Tools = config.Tools{Cryptsetup: "/bin/sh", MkfsExt4: "/bin/sh", MkfsXFS: "/nonexistent/mkfs.xfs"}
	require.NoError(t, CheckTools(c))
	require.ErrorContains(t, CheckTools(sealed(t, c)), "tools.mkfs_xfs: /nonexistent/mkfs.xfs cannot be run")

	plain := filepath.Join(t.TempDir(), "mkfs.ext4")
	require.NoError(t, os.WriteFile(plain, nil, 0o600))
	c.Tools = config.Tools{Cryptsetup: "/nonexistent/cryptsetup", MkfsExt4: plain}
	err := CheckTools(c)
	for _, words := range []string{"tools.cryptsetup", "/nonexistent/cryptsetup", "tools.mkfs_ext4", plain, "guest image"} {
		require.ErrorContains(t, err, words)
	}
}

func TestNotifyReady(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	require.NoError(t, NotifyReady())

	path := filepath.Join(t.TempDir(), "notify")
	t.Setenv("NOTIFY_SOCKET", path)
	require.ErrorContains(t, NotifyReady(), "telling systemd")

	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	require.NoError(t, NotifyReady())
	message := make([]byte, 100)
	n, err := l.Read(message)
	require.NoError(t, err)
	require.Equal(t, "READY=1", string(message[:n]))
}
