// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qemuwrap

import (
	"fmt"
	"strings"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// namePrefix is what Kata's runtimes, Go and Rust, put before the sandbox's id
// in the virtual machine's name.
const namePrefix = "sandbox-"

// chardevID is the monitor's id in QEMU.
const chardevID = "tes-monitor"

// sandboxID finds the id in QEMU's arguments, `-name sandbox-<id>[,…]`. There is
// none when Kata only asks for a version, or when somebody else runs QEMU.
func sandboxID(args []string) (id string, found bool) {
	for i, arg := range args[:max(0, len(args)-1)] {
		if arg != "-name" && arg != "--name" {
			continue
		}
		name, _, _ := strings.Cut(args[i+1], ",")
		id, found = strings.CutPrefix(strings.TrimPrefix(name, "guest="), namePrefix)
		return id, found && rundir.ValidateID(id) == nil
	}
	return "", false
}

// monitorArgs are the arguments that make QEMU serve QMP on a listening socket
// that it inherits.
func monitorArgs(fd int) []string {
	return []string{
		"-chardev", fmt.Sprintf("socket,id=%s,fd=%d,server=on,wait=off", chardevID, fd),
		"-mon", "chardev=" + chardevID + ",mode=control",
	}
}
