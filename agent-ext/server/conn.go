// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// conn hangs up on a peer that is silent, does not read, or sends what no
// caller of our service has a reason to send.
type conn struct {
	net.Conn
	idle    time.Duration
	release func()
	// requests and answers are only touched by Read and by Write.
	requests, answers frames
	// unanswered requests; for each, ttrpc's server keeps a goroutine, whether
	// or not the call is refused.
	unanswered atomic.Int64
}

// Read implements net.Conn. Whatever ends the connection is io.EOF: ttrpc's
// server takes that for the peer's going, and keeps a connection for good, its
// place among maxConnections included, after most other errors.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, io.EOF //nolint:nilerr // see above
	}
	n, err := c.Conn.Read(p)
	before := c.requests.begun
	if !c.requests.allow(p[:n]) {
		return 0, io.EOF
	}
	if c.unanswered.Add(c.requests.begun-before) > maxUnanswered {
		// At once: a Write may be waiting for this very peer.
		_ = c.Conn.Close() // nobody to tell
		return 0, io.EOF
	}
	if err != nil {
		err = io.EOF
	}
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	c.unanswered.Add(-c.answers.answers(p[:n]))
	return n, err
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.release()
	return c.Conn.Close()
}
