// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net"
	"sync"
	"time"
)

const (
	// maxConnections at a time; the host's shim has one for each call that
	// runs. Further ones are hung up on at once.
	maxConnections = 16
	// maxCalls at a time, over all connections.
	maxCalls = 16
	// maxUnanswered requests on a connection: who asks on without listening is
	// hung up on.
	maxUnanswered = 2 * maxCalls
	// writeTimeout bounds how long an answer may wait for its reader.
	writeTimeout = 10 * time.Second
)

// limited bounds what connections cost.
type limited struct {
	net.Listener
	// idle is how long a connection may say nothing. It must be longer than
	// the longest call: the caller is silent while it waits.
	idle time.Duration
	open chan struct{}
}

func limit(l net.Listener, idle time.Duration) *limited {
	return &limited{Listener: l, idle: idle, open: make(chan struct{}, maxConnections)}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.open <- struct{}{}:
			release := sync.OnceFunc(func() { <-l.open })
			return &conn{Conn: c, idle: l.idle, release: release}, nil
		default:
			// Nothing was said on it: a failure to close it changes nothing.
			_ = c.Close()
		}
	}
}
