// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package prepare

import (
	"bytes"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	cdhMapping = "cdh"
	cdhMount   = "/run/cdh"
	cdhHeader  = "/run/cdh.header"
)

// cdh runs the commands of guest-components at 8246e5e0
// (confidential-data-hub/hub/src/storage/drivers/{luks2,filesystem}.rs) for a
// store without integrity, and gives the time they took.
func cdh(b *testing.B, device string) time.Duration {
	b.Helper()
	require.NoError(b, os.MkdirAll(cdhMount, 0o755))
	mapped := filepath.Join("/dev/mapper", cdhMapping)
	began := time.Now()
	key := make([]byte, 4096)
	_, err := rand.Read(key)
	require.NoError(b, err)
	run(b, key, "cryptsetup", "--batch-mode", "luksFormat", "--type", "luks2", "--cipher", "aes-xts-plain64",
		"--sector-size", "4096", "--header", cdhHeader, device, "-")
	run(b, key, "cryptsetup", "luksOpen", "--header", cdhHeader, "-d", "-", device, cdhMapping)
	run(b, nil, "mkfs.ext4", "-F", mapped, "-E", "lazy_journal_init")
	run(b, nil, "mount", mapped, cdhMount)
	took := time.Since(began)

	run(b, nil, "umount", cdhMount)
	run(b, nil, "cryptsetup", "luksClose", cdhMapping)
	require.NoError(b, os.Remove(cdhHeader))
	return took
}

func run(b *testing.B, stdin []byte, program string, args ...string) {
	b.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	// The node has no udevd: libdevmapper would wait for it, on both sides.
	cmd.Env = append(os.Environ(), "DM_DISABLE_UDEV=1")
	out, err := cmd.CombinedOutput()
	require.NoError(b, err, "%s %s: %s", program, strings.Join(args, " "), out)
}
