// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
)

const (
	cryptsetup = "/usr/sbin/cryptsetup"
	mkfs       = "/usr/sbin/mkfs.ext4"
)

// once makes a tool whose script runs while the file is there.
func once(t *testing.T, real, script string) (path, trigger string) {
	t.Helper()
	trigger = filepath.Join(t.TempDir(), "trigger")
	require.NoError(t, os.WriteFile(trigger, nil, 0o600))
	return tool(t, real, "if [ -e "+trigger+" ]; then\n"+script+"\nfi\nexec $REAL \"$@\""), trigger
}

func withCryptsetup(path string) func(*config.Config) {
	return func(c *config.Config) { c.Tools.Cryptsetup = path }
}

func withMkfs(path string) func(*config.Config) {
	return func(c *config.Config) { c.Tools.MkfsExt4 = path }
}

// The guest image's programs fail, or somebody interferes with what they make.
func TestToolsFail(t *testing.T) {
	for _, c := range []struct {
		name, real, script string
		code               codes.Code
		words              string
	}{
		{"luksFormat fails", cryptsetup, `[ $1 != luksFormat ] || { echo no entropy today >&2; exit 1; }`, codes.Internal, "no entropy today"},
		{"luksOpen fails", cryptsetup, `[ $1 != luksOpen ] || { echo no dm-crypt >&2; exit 1; }`, codes.Internal, "no dm-crypt"},
		{"luksOpen fails with the mapping made", cryptsetup, `[ $1 != luksOpen ] || { $REAL "$@"; echo late >&2; exit 1; }`, codes.Internal, "late"},
		{"mkfs fails", mkfs, `echo bad blocks >&2; exit 1`, codes.Internal, "bad blocks"},
		{"mkfs makes nothing", mkfs, `exit 0`, codes.Internal, "mounting"},
		{"null cipher", cryptsetup, `[ $1 != luksFormat ] || exec $REAL "$@" --cipher cipher_null-ecb --key-size 256`, codes.DataLoss, "cipher"},
		{"small key", cryptsetup, `[ $1 != luksFormat ] || exec $REAL "$@" --key-size 256`, codes.DataLoss, "key"},
		{"small sectors", cryptsetup, `[ $1 != luksFormat ] || exec $REAL "$@" --sector-size 512`, codes.DataLoss, "parameters"},
		{"discards", cryptsetup, `[ $1 != luksOpen ] || exec $REAL "$@" --allow-discards`, codes.DataLoss, "parameters"},
		{"read-only", cryptsetup, `[ $1 != luksOpen ] || exec $REAL "$@" --readonly`, codes.DataLoss, "flags"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, trigger := once(t, c.real, c.script)
			change := withCryptsetup(path)
			if c.real == mkfs {
				change = withMkfs(path)
			}
			g := newGuest(t, change)
			marker := agentproto.NewMarker()
			newAttachedDisk(t, marker, gib)
			_, err := g.prepare(marker)
			g.requireCode(c.code, err, c.words)
			require.Equal(t, agentv1.State_STATE_ABSENT, g.state())
			g.requireNothingLeft()
			require.NoError(t, os.Remove(trigger))
			g.requireWorks(marker)
		})
	}
}

// A deadline that passes at each step.
func TestDeadlines(t *testing.T) {
	for _, c := range []struct{ name, real, script string }{
		{"luksFormat hangs", cryptsetup, `[ $1 != luksFormat ] || sleep 600`},
		{"luksOpen hangs", cryptsetup, `[ $1 != luksOpen ] || sleep 600`},
		{"luksOpen hangs with the mapping made", cryptsetup, `[ $1 != luksOpen ] || { $REAL "$@"; sleep 600; }`},
		{"mkfs hangs", mkfs, `sleep 600`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, trigger := once(t, c.real, c.script)
			change := withCryptsetup(path)
			if c.real == mkfs {
				change = withMkfs(path)
			}
			g := newGuest(t, change)
			marker := agentproto.NewMarker()
			newAttachedDisk(t, marker, gib)
			began := time.Now()
			_, err := g.prepareWithin(4*time.Second, marker)
			g.requireCode(codes.DeadlineExceeded, err)
			require.Less(t, time.Since(began), 30*time.Second)
			g.requireState(agentv1.State_STATE_ABSENT)
			g.requireNothingLeft()
			require.NoError(t, os.Remove(trigger))
			g.requireWorks(marker)
		})
	}
	t.Run("no disk", func(t *testing.T) {
		g := newGuest(t)
		_, err := g.prepareWithin(3*time.Second, agentproto.NewMarker())
		g.requireCode(codes.DeadlineExceeded, err)
		g.requireState(agentv1.State_STATE_ABSENT)
	})
	t.Run("the guest's own limit", func(t *testing.T) {
		g := newGuest(t, func(c *config.Config) {
			s := c.Stores[agentproto.ImageStore]
			s.FindTimeout = config.Duration(2 * time.Second)
			c.Stores[agentproto.ImageStore] = s
		})
		_, err := g.prepare(agentproto.NewMarker())
		g.requireCode(codes.NotFound, err, "no disk with the marker appeared")
	})
}

// Release in the middle of each step.
func TestReleaseWhilePreparing(t *testing.T) {
	started := filepath.Join(t.TempDir(), "started")
	path, trigger := once(t, cryptsetup, "[ $1 != luksOpen ] || { $REAL \"$@\"; touch "+started+"; sleep 600; }")
	g := newGuest(t, withCryptsetup(path))
	marker := agentproto.NewMarker()
	newAttachedDisk(t, marker, gib)
	outcome := make(chan error, 1)
	go func() {
		_, err := g.prepare(marker)
		outcome <- err
	}()
	require.Eventually(t, func() bool {
		_, err := os.Stat(started)
		return err == nil
	}, patience, 20*time.Millisecond)
	require.NoError(t, g.release(marker))
	g.requireCode(codes.Canceled, <-outcome)
	g.requireNothingLeft()
	require.NoError(t, os.Remove(trigger))
	g.requireWorks(marker)
}

// Disks and guests that are unfit. Each is made fit again, and then works.
func TestUnfit(t *testing.T) {
	check := func(name string, size int64, code codes.Code, words string, spoil func(t *testing.T, g *guest, device string) (mend func())) {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t)
			marker := agentproto.NewMarker()
			_, device := newAttachedDisk(t, marker, size)
			mend := spoil(t, g, device)
			_, err := g.prepare(marker)
			g.requireCode(code, err, words)
			mend()
			g.requireNothingLeft()
			if size == gib {
				g.requireWorks(marker)
			}
		})
	}
	check("tiny", 48<<20, codes.FailedPrecondition, "larger volume", func(*testing.T, *guest, string) func() { return func() {} })
	check("partition table", gib, codes.FailedPrecondition, "partition", func(t *testing.T, _ *guest, device string) func() {
		writePartitionTable(t, device, true)
		require.Eventually(t, func() bool {
			_, err := os.Stat("/sys/block/" + filepath.Base(device) + "/" + filepath.Base(device) + "1")
			return err == nil
		}, patience, 20*time.Millisecond)
		return func() { writePartitionTable(t, device, false) }
	})
	check("mounted", gib, codes.FailedPrecondition, "mounted at", func(t *testing.T, _ *guest, device string) func() {
		at := t.TempDir()
		run(t, "mkfs.ext4", "-q", "-F", device)
		run(t, "mount", device, at)
		return func() { run(t, "umount", at) }
	})
	check("under another mapping", gib, codes.FailedPrecondition, "in use by dm-", func(t *testing.T, _ *guest, device string) func() {
		run(t, "dmsetup", "create", "other", "--table", "0 8 linear "+device+" 0")
		return func() { run(t, "dmsetup", "remove", "other") }
	})
	check("read-only", gib, codes.FailedPrecondition, "read-only", func(t *testing.T, _ *guest, device string) func() {
		run(t, "blockdev", "--setro", device)
		return func() { run(t, "blockdev", "--setrw", device) }
	})
	check("swap is on", gib, codes.FailedPrecondition, "swap is on", func(t *testing.T, _ *guest, _ string) func() {
		_, swap := newAttachedDisk(t, "tes-ffffffffffffffff", 64<<20)
		run(t, "mkswap", swap)
		run(t, "swapon", swap)
		return func() { run(t, "swapoff", swap) }
	})
	check("images are there already", gib, codes.FailedPrecondition, "layers", func(t *testing.T, _ *guest, _ string) func() {
		require.NoError(t, os.MkdirAll("/run/kata-containers/image/layers", 0o755))
		return func() { require.NoError(t, os.Remove("/run/kata-containers/image/layers")) }
	})
	check("something is mounted there", gib, codes.FailedPrecondition, "something is mounted", func(t *testing.T, _ *guest, _ string) func() {
		require.NoError(t, os.MkdirAll("/run/image", 0o755))
		run(t, "mount", "-t", "tmpfs", "tmpfs", "/run/image")
		return func() { run(t, "umount", "/run/image") }
	})
	check("the mapping's name is taken", gib, codes.FailedPrecondition, "name is taken", func(t *testing.T, _ *guest, _ string) func() {
		run(t, "dmsetup", "create", "ephemeral_image_encrypted_disk", "--table", "0 8 zero")
		// It is still there to be removed: we don't close what isn't ours.
		return func() { run(t, "dmsetup", "remove", "ephemeral_image_encrypted_disk") }
	})
	t.Run("two disks", func(t *testing.T) {
		g := newGuest(t)
		marker := agentproto.NewMarker()
		newAttachedDisk(t, marker, gib)
		second, _ := newAttachedDisk(t, marker, gib)
		_, err := g.prepare(marker)
		g.requireCode(codes.FailedPrecondition, err, "2 disks carry the marker")
		second.detach()
		g.requireWorks(marker)
	})
	t.Run("header not in memory", func(t *testing.T) {
		dir := "/var/lib/kata-tes-test"
		g := newGuest(t, func(c *config.Config) { c.HeaderDirectory = dir })
		marker := agentproto.NewMarker()
		newAttachedDisk(t, marker, gib)
		_, err := g.prepare(marker)
		g.requireCode(codes.FailedPrecondition, err, "not in memory")
		require.NoError(t, os.Remove(dir))
	})
}

// writePartitionTable writes an MBR with one partition of 1 MiB, or none.
func writePartitionTable(t *testing.T, device string, partition bool) {
	t.Helper()
	sector := make([]byte, 512)
	if partition {
		const entry = 446
		sector[entry+4] = 0x83
		binary.LittleEndian.PutUint32(sector[entry+8:], 2048)
		binary.LittleEndian.PutUint32(sector[entry+12:], 2048)
		sector[510], sector[511] = 0x55, 0xaa
	}
	require.NoError(t, os.WriteFile(device, sector, 0))
	run(t, "blockdev", "--rereadpt", device)
}
