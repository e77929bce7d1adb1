// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package proposal compares a pod's guest with what
// docs/trusted-ephemeral-storage.md shows.
package proposal

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

// Mapping is the store's device.
const Mapping = "/dev/mapper/ephemeral_image_encrypted_disk"

// CheckListings compares the proposal's listings, for a volume of 1 GiB on
// which images were unpacked.
func CheckListings(t testing.TB, guest lab.Guest) {
	t.Helper()
	status := guest.Must(t, "cryptsetup status ephemeral_image_encrypted_disk --header /run/kata-tes/trusted_store.luks2")
	for key, value := range map[string]string{
		"type": "LUKS2", "cipher": "aes-xts-plain64", "keysize": "512 bits", "key location": "dm-crypt",
		"sector size": "4096", "offset": "32768 sectors", "size": "2064384 sectors", "mode": "read/write",
	} {
		require.Regexp(t, `(?m)^\s*`+key+`:\s+`+value+`$`, status)
	}
	require.Contains(t, status, "is active and is in use")

	require.Contains(t, guest.Must(t, "mount | grep image"), Mapping+" on /run/image type ext4 (rw,relatime)")
	require.Contains(t, guest.Must(t, "lsblk --fs --list"), "ephemeral_image_encrypted_disk")
	require.Equal(t, "layers\nlost+found\noverlay\n", guest.Must(t, "ls /run/image | cat"), "images and what containers write, nothing else")

	var blocks, size int
	_, err := fmt.Sscan(guest.Must(t, "stat -f -c '%a %S' /run/image"), &blocks, &size)
	require.NoError(t, err)
	require.GreaterOrEqual(t, blocks*size>>20, 906, "MiB available, as in the proposal")
	require.Equal(t, guest.Must(t, "stat -c %d /run/image"), guest.Must(t, "stat -c %d /run/kata-containers/image"),
		"the same file system where Kata unpacks images")
}
