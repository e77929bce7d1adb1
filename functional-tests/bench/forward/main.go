// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Command forward measures what our shim costs a call and a pod: a call of the
// Task service through it and directly to the inner shim, in turns in one run,
// and the memory (PSS) of its process, idle and after 100 execs.
//
// It starts the shim as containerd does, with containerd-shim-runc-v2 behind
// it, and creates one container. It needs root and runc, and no containerd.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Aims of the project, which the table compares with.
const (
	aimFactor = 1.5
	aimMore   = 100 * time.Microsecond
	aimPSS    = 8 << 20
)

const execs = 100

func main() {
	here, err := os.Executable()
	if err != nil {
		here = "."
	}
	shim := flag.String("shim", filepath.Join(filepath.Dir(here), "containerd-shim-kata-tes-v2"), "our shim")
	inner := flag.String("inner", "/usr/bin/containerd-shim-runc-v2", "the inner shim")
	busybox := flag.String("busybox", "/bin/busybox", "a static busybox for the container")
	calls := flag.Int("calls", 5000, "calls of each kind")
	flag.Parse()
	if err := run(*shim, *inner, *busybox, *calls); err != nil {
		fmt.Fprintln(os.Stderr, "forward:", err)
		os.Exit(1)
	}
}

func run(shim, inner, busybox string, calls int) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	s, err := newSandbox(ctx, shim, inner, busybox)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.remove()) }()

	idle, err := s.pss()
	if err != nil {
		return err
	}
	times, err := s.measure(ctx, calls)
	if err != nil {
		return err
	}
	for i := range execs {
		if err := s.exec(ctx, fmt.Sprintf("exec-%d", i)); err != nil {
			return fmt.Errorf("exec %d of %d: %w", i+1, execs, err)
		}
	}
	after, err := s.pss()
	if err != nil {
		return err
	}
	print(times, idle, after)
	return nil
}

func print(times comparison, idle, after int64) {
	fmt.Printf("a call of the Task service (State), %d of each kind in turns\n", len(times.direct))
	fmt.Printf("  %-10s %10s %10s %8s\n", "", "direct", "through us", "factor")
	for _, p := range []int{50, 99} {
		direct, through := percentile(times.direct, p), percentile(times.through, p)
		fmt.Printf("  p%-9d %10v %10v %8.2f\n", p, direct.Round(time.Microsecond), through.Round(time.Microsecond), float64(through)/float64(direct))
	}
	direct, through := percentile(times.direct, 50), percentile(times.through, 50)
	limit := time.Duration(aimFactor*float64(direct)) + aimMore
	fmt.Printf("  aim: p50 at most %.1f times the direct call and %v more, %v: %s\n", aimFactor, aimMore, limit.Round(time.Microsecond), verdict(through <= limit))
	fmt.Println("memory of our process (PSS)")
	fmt.Printf("  idle %.1f MiB, after %d execs %.1f MiB\n", mebibytes(idle), execs, mebibytes(after))
	fmt.Printf("  aim: at most %d MiB: %s\n", aimPSS>>20, verdict(max(idle, after) <= aimPSS))
}

func verdict(reached bool) string {
	if reached {
		return "reached"
	}
	return "MISSED"
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
