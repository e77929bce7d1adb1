// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// queueInterval is how often a full queue of clients is tried again.
const queueInterval = 20 * time.Millisecond

// Dial connects to the monitor that listens at path and leaves the negotiation
// behind. Of the events, those named are kept for Await and the others dropped.
func Dial(ctx context.Context, path string, events ...string) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	sock, err := connect(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("connecting to the monitor: %w", err)
	}
	c := newConn(sock, events)
	if err := c.negotiate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("greeting the monitor %s: %w", path, err), c.Close())
	}
	return c, nil
}

// connect waits for its place in the queue: QEMU lets two clients wait, and the
// kernel sends a third one away with EAGAIN, without a way to be told when there
// is room.
func connect(ctx context.Context, path string) (*net.UnixConn, error) {
	again := time.NewTicker(queueInterval)
	defer again.Stop()
	var d net.Dialer
	for {
		sock, err := d.DialContext(ctx, "unix", path)
		if err == nil {
			return sock.(*net.UnixConn), nil
		}
		if !errors.Is(err, unix.EAGAIN) {
			return nil, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, errors.Join(err, context.Cause(ctx))
		}
	}
}

func newConn(sock *net.UnixConn, events []string) *Conn {
	wanted := make(map[string]bool, len(events))
	for _, name := range events {
		wanted[name] = true
	}
	return &Conn{
		turn:   make(chan struct{}, 1),
		sock:   sock,
		in:     bufio.NewReader(sock),
		lastID: uniqueID(),
		wanted: wanted,
	}
}

// uniqueID begins a range of ids: 48 random bits, of which JSON loses none.
func uniqueID() uint64 {
	b := make([]byte, 8)
	_, _ = rand.Read(b[2:]) // never fails: crypto/rand, Go 1.24
	return binary.BigEndian.Uint64(b)
}

// negotiate reads the greeting and leaves the negotiation mode.
func (c *Conn) negotiate(ctx context.Context) error {
	err := c.exclusively(ctx, func() error {
		for {
			m, err := c.next()
			// Events, and late answers, may come before the greeting.
			if err != nil || m.Greeting != nil {
				return err
			}
		}
	})
	if err != nil {
		return err
	}
	return c.Execute(ctx, "qmp_capabilities", nil, nil)
}
