// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// containerd-shim-kata-tes-v2 is what containerd runs for the runtime type
// io.containerd.kata-tes.v2: a shim in front of the stock Kata shim, which
// gives pods that ask for /dev/trusted_store their encrypted disk and forwards
// everything else (docs/design.md).
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/kata-tes/kata-tes/cmd/internal/version"
	"github.com/kata-tes/kata-tes/shim/bootstrap"
	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/intercept"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

func main() {
	program := bootstrap.Program{
		Version:    version.Version,
		NewHook:    newHook,
		ConfigPath: config.Path(),
		RunRoot:    rundir.Root,
		Stdin:      os.Stdin,
		Stdout:     os.Stdout,
	}
	if err := program.Run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", bootstrap.Name, err)
		os.Exit(1)
	}
}

func newHook(s bootstrap.Sandbox) (bootstrap.Hook, error) {
	return intercept.New(intercept.Options{
		SandboxID:  s.ID,
		Settings:   s.Settings,
		RunRoot:    s.RunRoot,
		EndMachine: s.EndMachine,
		Log:        s.Log,
	})
}
