// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kata_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/functional-tests/proposal"
)

// TestIntegrity is the proposal's pod with a guest image whose agent.toml says
// profile integrity, and a host that changes a block under it.
func TestIntegrity(t *testing.T) {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd2)
	// Not much more than the least, since the host reads it three times.
	const size = 384 << 20
	volume := lab.NewVolumeGroup(t, "open-local-pool-0", size).Create(t, "store", size)
	volume.Hold(t)
	pod := containerd.StartPod(t, lab.PodSpec{Name: "integrity", Handler: lab.TesIntegrity})
	pod.StartContainer(t, sidecar(volume))
	c := pod.StartContainer(t, application)
	guest := pod.MustGuest(t)

	t.Run("the store is what the profile says", func(t *testing.T) {
		status := guest.Must(t, "cryptsetup status ephemeral_image_encrypted_disk --header /run/kata-tes/trusted_store.luks2")
		for key, value := range map[string]string{
			"type": "LUKS2", "cipher": "aes-xts-plain64", "integrity": `hmac\(sha256\)`, "key location": "dm-crypt", "sector size": "4096",
		} {
			require.Regexp(t, `(?m)^\s*`+key+`:\s+`+value+`$`, status)
		}
		require.Contains(t, guest.Must(t, "mount | grep image"), proposal.Mapping+" on /run/image type xfs (rw,relatime")
		require.Equal(t, "layers\noverlay\n", guest.Must(t, "ls /run/image | cat"), "images and what containers write, nothing else")
	})
	t.Run("the store was there before any container", func(t *testing.T) { checkOrder(t, guest) })
	t.Run("the host reads nothing", func(t *testing.T) { checkCiphertext(t, guest, volume) })
	t.Run("containers work on it", func(t *testing.T) {
		answer, err := c.Exec(t.Context(), "sh", "-c", "echo written > /file && sync && cat /file /etc/marker")
		require.NoError(t, err)
		require.Zero(t, answer.GetExitCode(), "%s", answer.GetStderr())
		require.Contains(t, string(answer.GetStdout()), "written\nmarker of the busybox image")
	})
	t.Run("nothing was read before it was written", func(t *testing.T) {
		guest.Must(t, "sync; echo 3 > /proc/sys/vm/drop_caches; find /run/image -type f -exec cat {} + > /dev/null")
		require.NotContains(t, guest.Must(t, "dmesg"), "INTEGRITY AEAD ERROR")
	})
	t.Run("a block that the host changes is an I/O error", func(t *testing.T) {
		before := snapshot(t, volume)
		guest.Must(t, "dd if=/dev/urandom of=/run/image/large bs=1M count=8 && sync")
		at := middleOfWhatChanged(t, before, snapshot(t, volume), 4<<20)
		guest.Must(t, "echo 3 > /proc/sys/vm/drop_caches; cat /run/image/large > /dev/null")
		flip(t, volume, at)
		guest.Must(t, "echo 3 > /proc/sys/vm/drop_caches")
		output, status, err := guest.Run(t.Context(), "cat /run/image/large > /dev/null")
		require.NoError(t, err)
		require.NotZero(t, status)
		require.Contains(t, output, "Input/output error")
		require.Contains(t, guest.Must(t, "dmesg"), "INTEGRITY AEAD ERROR")
		guest.Must(t, "rm /run/image/large")
	})
	require.NoError(t, pod.Remove(t.Context()))
	free, err := volume.ExclusivelyFree()
	require.NoError(t, err)
	require.True(t, free)
}

const block = 4096

// snapshot is the volume as the host sees it.
func snapshot(t *testing.T, volume lab.Volume) []byte {
	t.Helper()
	f, err := os.Open(volume.Path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	// Past this host's cache: QEMU writes directly.
	require.NoError(t, unix.IoctlSetInt(int(f.Fd()), unix.BLKFLSBUF, 0))
	content := make([]byte, volume.Size)
	_, err = io.ReadFull(f, content)
	require.NoError(t, err)
	return content
}

// middleOfWhatChanged is where the longest piece that is new has its middle:
// inside of a large file's content. It must be of that many bytes at least.
func middleOfWhatChanged(t *testing.T, before, after []byte, least int) int64 {
	t.Helper()
	begin, best, length := 0, 0, 0
	for at := 0; at <= len(after); at += block {
		if at < len(after) && !bytes.Equal(before[at:at+block], after[at:at+block]) {
			continue
		}
		if at-begin > length {
			best, length = begin, at-begin
		}
		begin = at + block
	}
	require.GreaterOrEqual(t, length, least, "the file is in one piece")
	return int64(best+length/2) / block * block
}

// flip changes one bit on the host's side.
func flip(t *testing.T, volume lab.Volume, at int64) {
	t.Helper()
	f, err := os.OpenFile(volume.Path, os.O_RDWR, 0)
	require.NoError(t, err)
	one := make([]byte, 1)
	_, err = f.ReadAt(one, at+100)
	require.NoError(t, err)
	one[0] ^= 1
	_, err = f.WriteAt(one, at+100)
	require.NoError(t, errors.Join(err, f.Sync(), f.Close()))
}
