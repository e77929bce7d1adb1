// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// kata-tes is the operator's tool: it puts the runtime on a node and into a
// guest image, takes it out again, and says what state both are in.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/kata-tes/kata-tes/cmd/internal/version"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status := command.Run(ctx, version.Version, command.Streams{Out: os.Stdout, Err: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(status)
}
