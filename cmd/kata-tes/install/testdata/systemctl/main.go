// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// systemctl writes down how it was called.
package main

import (
	"os"
	"strings"
)

func main() {
	said := os.Getenv("SYSTEMD_IGNORE_CHROOT") + " " + strings.Join(os.Args[1:], " ")
	if err := os.WriteFile("/called", []byte(said), 0o600); err != nil {
		os.Exit(1)
	}
}
