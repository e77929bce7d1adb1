// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	task2 "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"
)

// comparison has the times of the calls in the order of their length.
type comparison struct {
	direct, through []time.Duration
}

// warmUp is how many calls come before those that count.
const warmUp = 300

// measure makes calls in turns: what else happens on the machine meets both.
func (s *sandbox) measure(ctx context.Context, calls int) (comparison, error) {
	var c comparison
	for i := range calls + warmUp {
		for _, way := range []struct {
			client *ttrpc.Client
			times  *[]time.Duration
		}{{s.direct, &c.direct}, {s.through, &c.through}} {
			started := time.Now()
			var answer task2.StateResponse
			if err := way.client.Call(ctx, s.service, "State", &task2.StateRequest{ID: s.id}, &answer); err != nil {
				return c, fmt.Errorf("call %d: %w", i, err)
			}
			if i >= warmUp {
				*way.times = append(*way.times, time.Since(started))
			}
		}
	}
	slices.Sort(c.direct)
	slices.Sort(c.through)
	return c, nil
}

// percentile of times in the order of their length.
func percentile(times []time.Duration, p int) time.Duration {
	return times[min(len(times)-1, len(times)*p/100)]
}
