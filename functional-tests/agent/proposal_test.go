// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// What the guest shows for 1 GiB is what the proposal shows.
func TestProposal(t *testing.T) {
	g := newGuest(t)
	marker := agentproto.NewMarker()
	disk, device := newAttachedDisk(t, marker, gib)

	answer, err := g.prepare(marker)
	require.NoError(t, err)
	require.Equal(t, "ephemeral_image_encrypted_disk", answer.GetMapping())
	require.Equal(t, []string{"/run/image", "/run/kata-containers/image"}, answer.GetMountPoints())
	require.Equal(t, uint64(2064384*512), answer.GetSizeBytes())
	names := []string{}
	for _, s := range answer.GetSteps() {
		names = append(names, s.GetName())
		t.Logf("%-8s %s", s.GetName(), s.GetTook().AsDuration())
	}
	require.Equal(t, []string{"find", "verify", "format", "open", "check", "mkfs", "mount"}, names)

	status := run(t, "cryptsetup", "status", "--header", "/run/kata-tes/trusted_store.luks2", "ephemeral_image_encrypted_disk")
	t.Log("\n" + status)
	for _, want := range []string{
		"/dev/mapper/ephemeral_image_encrypted_disk is active and is in use.",
		`type: +LUKS2`, `cipher: +aes-xts-plain64`, `keysize: +512 bits`, `key location: dm-crypt`,
		`device: +` + device, `sector size: +4096`, `offset: +32768 sectors`, `size: +2064384 sectors`, `mode: +read/write`,
	} {
		require.Regexp(t, regexp.MustCompile(`(?m)^\s*`+want+`$`), status)
	}

	lsblk := run(t, "lsblk", "--fs", device)
	t.Log("\n" + lsblk)
	require.Regexp(t, `ephemeral_image_encrypted_disk .*9\d\d(\.\d)?M +0% /run/(kata-containers/)?image`, lsblk)

	mounts := run(t, "mount")
	require.Contains(t, mounts, "/dev/mapper/ephemeral_image_encrypted_disk on /run/image type ext4 (rw,relatime)\n")
	require.Contains(t, mounts, "/dev/mapper/ephemeral_image_encrypted_disk on /run/kata-containers/image type ext4 (rw,relatime)\n")
	require.Contains(t, run(t, "ls", "/run/image"), "lost+found")
	available, err := strconv.Atoi(strings.Fields(run(t, "df", "--output=avail", "-m", "/run/image"))[1])
	require.NoError(t, err)
	require.GreaterOrEqual(t, available, 906)
	t.Logf("%d MiB available", available)

	again, err := g.prepare(marker)
	require.NoError(t, err)
	require.True(t, proto.Equal(answer, again), "the same question has the same answer")

	secret := "the host must never read this sentence " + string(marker)
	require.NoError(t, os.WriteFile("/run/image/secret", []byte(secret), 0o600))
	run(t, "sync")
	require.False(t, disk.grep(secret))
	require.False(t, disk.grep("LUKS\xba\xbe"))
	require.False(t, disk.grep("SKUL\xba\xbe"))
	text, err := os.ReadFile("/run/kata-containers/image/secret")
	require.NoError(t, err)
	require.Equal(t, secret, string(text))

	require.NoError(t, g.release(marker))
	g.requireNothingLeft()
	require.NoError(t, g.release(marker))
	require.Equal(t, agentv1.State_STATE_ABSENT, g.state())
	g.requireWorks(marker)
}

// A disk that comes while the guest waits for it.
func TestDiskComesLate(t *testing.T) {
	g := newGuest(t)
	marker := agentproto.NewMarker()
	disk := newDisk(t, marker, gib)
	outcome := make(chan error, 1)
	go func() {
		_, err := g.prepare(marker)
		outcome <- err
	}()
	g.requireState(agentv1.State_STATE_PREPARING)
	disk.attach()
	require.NoError(t, <-outcome)
}

// A volume outlives its pods: what an earlier one left is no obstacle and does
// not stay.
func TestOldContents(t *testing.T) {
	g := newGuest(t)
	marker := agentproto.NewMarker()
	disk, device := newAttachedDisk(t, marker, gib)
	run(t, "sh", "-c", "echo old | cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "+device+" -")
	run(t, "sync")
	require.True(t, disk.grep("SKUL\xba\xbe"))
	_, err := g.prepare(marker)
	require.NoError(t, err)
	run(t, "sync")
	require.False(t, disk.grep("LUKS\xba\xbe"))
	require.False(t, disk.grep("SKUL\xba\xbe"))
	require.NoError(t, g.release(marker))

	run(t, "mkfs.ext4", "-q", "-F", device)
	g.requireWorks(marker)
}
