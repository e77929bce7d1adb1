// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"bytes"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/agent-ext/server"
	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/mdlayher/vsock"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
)

// A store that somebody works on is not released, and stays whole.
func TestReleaseInUse(t *testing.T) {
	g := newGuest(t)
	marker := agentproto.NewMarker()
	newAttachedDisk(t, marker, gib)
	_, err := g.prepare(marker)
	require.NoError(t, err)
	stays := func(words string) {
		t.Helper()
		g.requireCode(codes.FailedPrecondition, g.release(marker), words)
		require.Equal(t, agentv1.State_STATE_READY, g.state())
		for _, at := range []string{"/run/image", "/run/kata-containers/image"} {
			require.DirExists(t, at+"/lost+found")
		}
	}

	f, err := os.Create("/run/image/open")
	require.NoError(t, err)
	stays("in use")
	require.NoError(t, f.Close())

	for _, dir := range []string{"lower", "upper", "work"} {
		require.NoError(t, os.Mkdir("/run/image/"+dir, 0o755))
	}
	root := t.TempDir()
	run(t, "mount", "-t", "overlay", "overlay", "-o", "lowerdir=/run/image/lower,upperdir=/run/image/upper,workdir=/run/image/work", root)
	stays("overlay")
	run(t, "umount", root)

	// By a name that the overlay's options do not tell: the kernel knows.
	run(t, "sh", "-c", "cd /run/image && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work "+root)
	stays("in use")
	run(t, "umount", root)
	require.NoError(t, g.release(marker))
	g.requireNothingLeft()
}

// The agent extension is started again under a store that is ready.
func TestRestart(t *testing.T) {
	g := newGuest(t)
	marker := agentproto.NewMarker()
	newAttachedDisk(t, marker, gib)
	before, err := g.prepare(marker)
	require.NoError(t, err)
	g.stop()
	g.start()
	require.Equal(t, agentv1.State_STATE_READY, g.state())
	again, err := g.prepare(marker)
	require.NoError(t, err)
	require.Equal(t, before.GetSizeBytes(), again.GetSizeBytes())
	_, err = g.prepare(agentproto.NewMarker())
	g.requireCode(codes.AlreadyExists, err)

	// Somebody took the mount away in between.
	g.stop()
	run(t, "umount", "/run/kata-containers/image")
	g.start()
	require.Equal(t, agentv1.State_STATE_FAILED, g.state())
	_, err = g.prepare(marker)
	g.requireCode(codes.FailedPrecondition, err, "release it first")
	require.NoError(t, g.release(marker))
	g.requireNothingLeft()
	g.requireWorks(marker)
}

// The host takes the disk away without asking.
func TestDiskVanishes(t *testing.T) {
	for _, p := range profile.All() {
		t.Run(p.Name, func(t *testing.T) {
			g := newGuest(t, withProfile(p))
			marker := agentproto.NewMarker()
			disk, _ := newAttachedDisk(t, marker, gib)
			_, err := g.prepare(marker)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile("/run/image/file", make([]byte, 1<<20), 0o600))
			disk.detach()
			require.NoError(t, g.release(marker))
			g.requireNothingLeft()

			marker = agentproto.NewMarker()
			newAttachedDisk(t, marker, gib)
			g.requireWorks(marker)
		})
	}
}

// The key is in no file, argument or environment, before, while or after it is
// used. A stand-in for cryptsetup looks while the real one is about to run.
func TestKeyIsNowhere(t *testing.T) {
	seen := t.TempDir()
	path := tool(t, cryptsetup, `
case $1 in luksFormat|luksOpen)
  cat > `+seen+`/key
  tr '\0' '\n' < /proc/$$/environ > `+seen+`/environ.$1
  tr '\0' '\n' < /proc/$$/cmdline > `+seen+`/cmdline.$1
  exec $REAL "$@" < `+seen+`/key;;
esac
exec $REAL "$@"`)
	g := newGuest(t, withCryptsetup(path))
	marker := agentproto.NewMarker()
	newAttachedDisk(t, marker, gib)
	_, err := g.prepare(marker)
	require.NoError(t, err)
	key, err := os.ReadFile(seen + "/key")
	require.NoError(t, err)
	require.Len(t, key, 64)
	absent := func(path string) {
		t.Helper()
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.False(t, bytes.Contains(text, key), path)
		require.False(t, bytes.Contains(text, []byte(hex.EncodeToString(key))), path)
	}
	files := 0
	for _, root := range []string{seen, "/run/kata-tes", "/run/cryptsetup"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() && path != seen+"/key" {
				absent(path)
				files++
			}
			return err
		}))
	}
	require.GreaterOrEqual(t, files, 5)
	// What cryptsetup had cannot open the volume again: the keyslots are gone.
	out, err := exec.Command(cryptsetup, "luksOpen", "--test-passphrase", "--header", "/run/kata-tes/trusted_store.luks2",
		"--key-file", seen+"/key", "/dev/null").CombinedOutput()
	require.Error(t, err, "%s", out)
}

// The capabilities of configs/guest/kata-tes-agent.service are enough for the
// programs that it starts.
func TestCapabilities(t *testing.T) {
	const bounded = "exec setpriv --no-new-privs --bounding-set -all,+sys_admin,+ipc_lock,+mknod,+chown,+fowner,+dac_override $REAL \"$@\""
	g := newGuest(t, withCryptsetup(tool(t, cryptsetup, bounded)), withMkfs(tool(t, mkfs, bounded)))
	marker := agentproto.NewMarker()
	newAttachedDisk(t, marker, gib)
	g.requireWorks(marker)

	sealed := newGuest(t, withProfile(profile.Integrity), withCryptsetup(tool(t, cryptsetup, bounded)), func(c *config.Config) {
		c.Tools.MkfsXFS = tool(t, c.Tools.MkfsXFS, bounded)
	})
	sealed.requireWorks(marker)
}

// A disk on virtio-blk, whose serial number is elsewhere in sysfs.
func TestVirtioBlk(t *testing.T) {
	marker := os.Getenv("TES_VIRTIO_MARKER")
	if marker == "" {
		t.Skip("needs a disk: NODE_DISKS=serial=MARKER,size=1G,bus=virtio TES_VIRTIO_MARKER=MARKER")
	}
	g := newGuest(t)
	g.requireWorks(agentproto.Marker(marker))
}

// What the kernel lets a process of the guest itself do with our port: nothing.
func TestOnlyTheHostIsServed(t *testing.T) {
	run(t, "modprobe", "vsock_loopback")
	listener, err := server.Listen("vsock")
	require.NoError(t, err)
	accepted := make(chan error, 1)
	go func() {
		_, err := listener.Accept()
		accepted <- err
	}()
	// Refused outright, or hung up on: both are no service.
	conn, err := vsock.Dial(vsock.Local, agentproto.Port, nil)
	if err == nil {
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, conn.Close())
	} else {
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	require.NoError(t, listener.Close())
	require.Error(t, <-accepted, "nobody was let in")
}
