// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// kata-tes-qemu stands where Kata expects QEMU (path in [hypervisor.qemu]). It
// adds our monitor to sandboxes that our shim started, and becomes the real
// QEMU for all. It has no options of its own: every argument is QEMU's.
package main

import (
	"fmt"
	"os"

	"github.com/kata-tes/kata-tes/cmd/internal/version"
	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/qemuwrap"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

func main() {
	w := qemuwrap.Wrapper{RunRoot: rundir.Root, Config: config.Path(), Default: defaultHypervisor}
	err := w.Exec(os.Args, os.Environ())
	// The version is here because there is no option that could ask for it.
	fmt.Fprintf(os.Stderr, "kata-tes-qemu (%s): %v\n", version.Version, err)
	os.Exit(qemuwrap.ExitStatus(err))
}

// defaultHypervisor is for sandboxes that our shim did not start.
func defaultHypervisor() (string, error) {
	file, err := config.Load(config.Path())
	if err != nil {
		return "", err
	}
	return file.DefaultHypervisor()
}
