// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Command node-exec runs something in a fresh test node and ends as it ended:
//
//	go test -exec "$PWD/build/bin/node-exec" ./functional-tests/kata
//	build/bin/node-exec -- COMMAND ARGUMENTS
//	build/bin/node-exec shell
//
// As the program of `go test -exec` it takes the test binary and its flags; the
// binary (CGO_ENABLED=0) and the package's testdata go into the node with our
// current binaries, and environment variables that begin with TES_ are passed
// on. Output is live.
//
// When the node itself fails (kernel panic, stall, no answer), node-exec says
// so and starts again on a fresh one, twice at most. Never because of what ran
// in it: a failed test is a failed test.
//
// What a package needs of its node it says in testdata/node.toml: memory (MiB),
// and control_plane = true for a Kubernetes control plane on this machine, which
// is ready when the test begins (/opt/tes/kubernetes in the node). boots = 2
// gives the node a disk that outlives it: a test that calls lab.LosePower is run
// again from its beginning in the second boot, beside the same control plane.
//
// Variables: NODE_DISKS adds disks ("serial=tes-1,size=64G,bus=scsi;…"),
// NODE_MEMORY is the node's memory in MiB,
// NODE_CONTROL_PLANE=1 is as control_plane, NODE_BUILD the build folder where it
// is not the one that node-exec lies in. Consoles of node and guests are kept
// in build/logs when something failed, and with NODE_KEEP_LOGS=1 always.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit status of node-exec's own failures, as of ssh's.
const ownFailure = 255

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	job, err := parse(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "node-exec:", err)
		return 2
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		cancel(fmt.Errorf("interrupted by signal: %v", <-interrupts))
	}()
	status, err := job.runWithFreshNodes(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "node-exec:", err)
		return ownFailure
	}
	return status
}
