// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package dial opens a connection from the host to a port of the guest, going
// by the address of Kata's own agent.
//
// Kata's package virtcontainers/pkg/agent/protocols/client does the same for
// its own port, but brings OpenTelemetry and the whole agent protocol into a
// process that runs once for each pod, and its vsock dial cannot be cancelled.
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

var (
	// ErrAddress says that the agent's address cannot be understood.
	ErrAddress = errors.New("not an address of Kata's agent")
	// ErrRefused says that the guest is there and nobody listens at the port.
	ErrRefused = errors.New("nobody listens at the guest's port")
	// ErrNoAnswer says that the guest (or its hypervisor) is silent.
	ErrNoAnswer = errors.New("the guest does not answer")
)

const (
	// refusedWindow is how long a refusal is tried again: our agent extension
	// starts before Kata's agent, so that it only bridges a restart.
	refusedWindow = 2 * time.Second
	// interval is the pause between two attempts.
	interval = 50 * time.Millisecond
)

// Option changes how Dial goes about it.
type Option func(*options)

type options struct{ refusedWindow time.Duration }

// WithRefusedWindow sets how long a refusal is tried again; 0 is one attempt.
func WithRefusedWindow(d time.Duration) Option {
	return func(o *options) { o.refusedWindow = d }
}

// Dial connects to the port of the guest whose Kata agent has the address
// agentURL: vsock://CID:PORT, hvsock://SOCKET:PORT (hybrid vsock) or
// unix://SOCKET (for tests; its port is ignored).
//
// A refusal is tried again for two seconds (WithRefusedWindow), so that an
// absent agent extension is told soon; silence is tried again until ctx ends.
// The errors are ErrAddress, ErrRefused, ErrNoAnswer, the socket's, and in
// addition to them the context's.
func Dial(ctx context.Context, agentURL string, port uint32, opts ...Option) (net.Conn, error) {
	o := options{refusedWindow: refusedWindow}
	for _, set := range opts {
		set(&o)
	}
	target, err := parse(agentURL, port)
	if err != nil {
		return nil, err
	}
	conn, err := retry(ctx, target, o.refusedWindow)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", target, err)
	}
	return conn, nil
}

func retry(ctx context.Context, target target, window time.Duration) (net.Conn, error) {
	giveUp := time.Now().Add(window)
	again := time.NewTicker(interval)
	defer again.Stop()
	var last error
	for {
		conn, err := target.connect(ctx)
		if err == nil {
			return conn, nil
		}
		// An attempt that was cut short says less than the one before.
		if last == nil || !isCutShort(ctx, err) {
			last = err
		}
		switch {
		case isCutShort(ctx, err):
		case errors.Is(err, ErrRefused) && time.Now().Before(giveUp):
		case errors.Is(err, ErrNoAnswer):
		default:
			return nil, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, unanswered(ctx, last)
		}
	}
}

// isCutShort says whether the context ended the attempt. The dialer's clock may
// be ahead of the context's.
func isCutShort(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// unanswered adds the reason why there is no further attempt to what the last
// one met.
func unanswered(ctx context.Context, last error) error {
	if !errors.Is(last, ErrRefused) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		last = errors.Join(ErrNoAnswer, last)
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), last)
}
