// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// withProfile makes the store of that profile.
func withProfile(p profile.Profile) func(*config.Config) {
	return func(c *config.Config) {
		s := c.Stores[agentproto.ImageStore]
		s.Profile, s.MinimumSize = p, config.Size(p.Least)
		c.Stores[agentproto.ImageStore] = s
	}
}

// What the guest shows of a store with profile integrity.
func TestIntegrity(t *testing.T) {
	g := newGuest(t, withProfile(profile.Integrity))
	marker := agentproto.NewMarker()
	disk, _ := newAttachedDisk(t, marker, gib)
	before := integrityErrors(t)

	answer, err := g.prepare(marker)
	require.NoError(t, err)
	require.Equal(t, uint64(2031880*512), answer.GetSizeBytes())
	shown := run(t, "cryptsetup", "status", "--header", "/run/kata-tes/trusted_store.luks2", "ephemeral_image_encrypted_disk")
	t.Log("\n" + shown)
	for _, want := range []string{
		`type: +LUKS2`, `cipher: +aes-xts-plain64`, `keysize: +768 bits`, `key location: dm-crypt`,
		`integrity: +hmac\(sha256\)`, `integrity keysize: +256 bits`, `sector size: +4096`, `mode: +read/write`,
	} {
		require.Regexp(t, `(?m)^\s*`+want+`$`, shown)
	}
	mounts := run(t, "mount")
	for _, at := range []string{"/run/image", "/run/kata-containers/image"} {
		require.Contains(t, mounts, "/dev/mapper/ephemeral_image_encrypted_disk on "+at+" type xfs (rw,relatime,")
	}
	secret := "the host must never read this sentence " + string(marker)
	require.NoError(t, os.WriteFile("/run/image/secret", []byte(secret), 0o600))
	run(t, "sync")
	require.False(t, disk.grep(secret))
	require.False(t, disk.grep("LUKS\xba\xbe"))
	require.False(t, disk.grep("XFSB"), "nor the file system's superblock")

	// The process is started again under the store.
	g.stop()
	g.start()
	require.Equal(t, agentv1.State_STATE_READY, g.state())
	require.NoError(t, g.release(marker))
	g.requireNothingLeft()
	require.Equal(t, before, integrityErrors(t), "nothing was read before it was written")
}

// The smallest disk that the configuration takes works; a smaller one is told
// what is needed.
func TestIntegrityLeastDisk(t *testing.T) {
	g := newGuest(t, withProfile(profile.Integrity))
	marker := agentproto.NewMarker()
	newAttachedDisk(t, marker, int64(profile.Integrity.Least))
	g.requireWorks(marker)

	small := agentproto.NewMarker()
	newAttachedDisk(t, small, int64(profile.Integrity.Least)-4096)
	_, err := g.prepare(small)
	g.requireCode(codes.FailedPrecondition, err, "larger volume", fmt.Sprint(profile.Integrity.Least))
}

// A volume that was another profile's, in both directions.
func TestProfileChanges(t *testing.T) {
	marker := agentproto.NewMarker()
	newAttachedDisk(t, marker, gib)
	for _, p := range []profile.Profile{profile.Integrity, profile.Confidentiality, profile.Integrity} {
		g := newGuest(t, withProfile(p))
		_, err := g.prepare(marker)
		require.NoError(t, err)
		require.NoError(t, g.release(marker))
		g.requireNothingLeft()
	}
}

// dm-integrity's superblock is on the host's disk. Whatever the host writes into
// it between luksFormat and luksOpen, nothing comes of it but a refusal. (Flags
// that the kernel does not know it ignores, and so do we. The flag of a dirty
// bitmap, 4, is not tried: docs/profiles.md says why.)
func TestIntegritySuperblockIsRewritten(t *testing.T) {
	// struct superblock (Linux, drivers/md/dm-integrity.c), at 16 MiB.
	const superblock = 16 << 20
	retried := 0
	cases := []struct {
		name   string
		offset int
		bytes  string
	}{
		{"no magic", 0, `\0\0\0\0\0\0\0\0`},
		{"unknown version", 8, `\377`},
		{"small interleave", 9, `\003`},
		{"large interleave", 9, `\020`},
		{"smaller tags", 10, `\020\0`},
		{"one journal section", 12, `\001\0\0\0`},
		{"large journal", 12, `\377\377\0\0`},
		{"no data", 16, `\0\0\0\0\0\0\0\0`},
		{"a little less data", 16, `\0\001\037\0\0\0\0\0`},
		{"a little more data", 16, `\020\001\037\0\0\0\0\0`},
		{"far more data", 16, `\0\0\0\0\0\001\0\0`},
		{"journal with a code", 24, `\031\0\0\0`},
		{"recalculate", 24, `\012\0\0\0`},
		{"no padding", 24, `\0\0\0\0`},
		{"another hmac", 24, `\030\0\0\0`},
		{"small blocks", 28, `\0`},
		{"large blocks", 28, `\006`},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			marker := agentproto.NewMarker()
			disk, _ := newAttachedDisk(t, marker, gib)
			path, trigger := once(t, cryptsetup, fmt.Sprintf(
				`[ $1 != luksOpen ] || printf '%s' | dd of=%s bs=1 seek=%d conv=notrunc status=none`, c.bytes, disk.file, superblock+c.offset))
			g := newGuest(t, withProfile(profile.Integrity), withCryptsetup(path))
			_, err := g.prepare(marker)
			require.Error(t, err)
			t.Log("the guest says:", err)
			require.Equal(t, agentv1.State_STATE_ABSENT, g.state())
			g.requireNothingLeft()
			require.NoError(t, os.Remove(trigger))
			if i == 0 || everything() {
				g.requireWorks(marker)
				retried++
			}
		})
	}
	t.Logf("summary: %d superblocks tried, all refused; %d of %d followed by a store that works (TES_ALL=1: all)", len(cases), retried, len(cases))
}

// everything asks for what takes long.
func everything() bool { return os.Getenv("TES_ALL") == "1" }

// Tools that make something else than they were asked for, or half of it.
func TestIntegrityToolsFail(t *testing.T) {
	const dif = "/dev/mapper/ephemeral_image_encrypted_disk_dif"
	cases := []struct {
		name, script string
		code         codes.Code
		words        string
		// leaves says that the failure leaves what only we can take away.
		leaves bool
	}{
		{"no integrity", `[ $1 != luksFormat ] || exec $REAL $(echo "$@" | sed 's/--integrity[^ ]*\( hmac-sha256\)\?//g')`, codes.Internal, "", false},
		{"with journal", `[ $1 != luksOpen ] || exec $REAL $(echo "$@" | sed 's/--integrity-no-journal//')`, codes.DataLoss, "parameter", false},
		{"null cipher", `[ $1 != luksFormat ] || exec $REAL "$@" --cipher cipher_null-ecb`, codes.Internal, "", false},
		{"the upper mapping lies on the disk", `[ $1 != luksOpen ] || { $REAL "$@"; key=$(dmsetup table --showkeys ephemeral_image_encrypted_disk | cut -d' ' -f5)
dmsetup remove ephemeral_image_encrypted_disk; dmsetup create other --table "0 2031880 linear DEVICE 0"
dmsetup create ephemeral_image_encrypted_disk -u CRYPT-LUKS2-x-y --table "0 2031880 crypt aes-xts-plain64 ${key%????????????????????????????????????????????????????????????????} 0 /dev/mapper/other 0 1 sector_size:4096"; exit 0; }`, codes.DataLoss, "ephemeral_image_encrypted_disk: ", false},
		{"only the lower mapping is made", `[ $1 != luksOpen ] || { $REAL "$@"; dmsetup remove ephemeral_image_encrypted_disk; ls ` + dif + ` >&2; exit 1; }`, codes.Internal, "running cryptsetup luksOpen", true},
		{"luksFormat is killed with its mapping made", `[ $1 != luksFormat ] || { dmsetup create temporary-cryptsetup-$$ --table "0 8 integrity DEVICE 32768 32 D 1 block_size:4096"; kill -9 $$; }`, codes.Internal, "killed", true},
		{"a mapping without a table", `[ $1 != luksOpen ] || { dmsetup create ephemeral_image_encrypted_disk_dif --notable; dmsetup create ephemeral_image_encrypted_disk --notable; exit 1; }`, codes.Internal, "running cryptsetup luksOpen", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			marker := agentproto.NewMarker()
			_, device := newAttachedDisk(t, marker, gib)
			path, trigger := once(t, cryptsetup, strings.ReplaceAll(c.script, "DEVICE", device))
			g := newGuest(t, withProfile(profile.Integrity), withCryptsetup(path))
			_, err := g.prepare(marker)
			if strings.Contains(c.script, "create other") {
				// It is held by the mapping that lies on it until now.
				run(t, "dmsetup", "remove", "other")
			}
			if c.words == "" {
				require.Error(t, err)
				require.Contains(t, []codes.Code{codes.Internal, codes.DataLoss}, status.Code(err), "%v", err)
				t.Log("the guest says:", err)
			} else {
				g.requireCode(c.code, err, c.words)
			}
			require.Equal(t, agentv1.State_STATE_ABSENT, g.state())
			g.requireNothingLeft()
			require.NotContains(t, run(t, "dmsetup", "ls"), "temporary-cryptsetup")
			require.NoError(t, os.Remove(trigger))
			if c.leaves || everything() {
				g.requireWorks(marker)
			}
		})
	}
}

// A deadline that passes while cryptsetup has made half of it.
func TestIntegrityDeadlines(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"luksFormat hangs with its mapping made", `[ $1 != luksFormat ] || { dmsetup create temporary-cryptsetup-$$ --table "0 8 integrity DEVICE 32768 32 D 1 block_size:4096"; sleep 600; }`},
		{"luksOpen hangs with the lower mapping made", `[ $1 != luksOpen ] || { $REAL "$@"; dmsetup remove ephemeral_image_encrypted_disk; sleep 600; }`},
	} {
		t.Run(c.name, func(t *testing.T) {
			marker := agentproto.NewMarker()
			_, device := newAttachedDisk(t, marker, gib)
			path, trigger := once(t, cryptsetup, strings.ReplaceAll(c.script, "DEVICE", device))
			g := newGuest(t, withProfile(profile.Integrity), withCryptsetup(path))
			_, err := g.prepareWithin(5*time.Second, marker)
			g.requireCode(codes.DeadlineExceeded, err)
			g.requireState(agentv1.State_STATE_ABSENT)
			g.requireNothingLeft()
			require.NotContains(t, run(t, "dmsetup", "ls"), "temporary-cryptsetup")
			require.NoError(t, os.Remove(trigger))
			g.requireWorks(marker)
		})
	}
}

// A name of the lower mapping that is taken already is not ours to close.
func TestIntegrityNameIsTaken(t *testing.T) {
	g := newGuest(t, withProfile(profile.Integrity))
	marker := agentproto.NewMarker()
	newAttachedDisk(t, marker, gib)
	run(t, "dmsetup", "create", "ephemeral_image_encrypted_disk_dif", "--table", "0 8 zero")
	_, err := g.prepare(marker)
	g.requireCode(codes.FailedPrecondition, err, "name is taken", "_dif")
	run(t, "dmsetup", "remove", "ephemeral_image_encrypted_disk_dif")
	g.requireWorks(marker)
}

// integrityErrors counts what dm-crypt has said of sectors whose tag is wrong.
func integrityErrors(t *testing.T) int {
	t.Helper()
	return strings.Count(run(t, "dmesg"), "INTEGRITY AEAD ERROR")
}
