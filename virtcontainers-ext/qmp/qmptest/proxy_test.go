// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qmptest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp"
)

// monitor answers each command with nothing, and remembers it.
type monitor struct {
	path     string
	listener net.Listener
	mu       sync.Mutex
	got      []string
	conn     net.Conn
}

func newMonitor(t *testing.T) *monitor {
	t.Helper()
	dir, err := os.MkdirTemp("", "qt") // short: a socket's path
	require.NoError(t, err)
	m := &monitor{path: filepath.Join(dir, "monitor.sock")}
	m.listener, err = net.Listen("unix", m.path)
	require.NoError(t, err)
	m.listener.(*net.UnixListener).SetUnlinkOnClose(false)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := m.listener.Accept()
			if err != nil {
				return
			}
			m.serve(c)
		}
	})
	t.Cleanup(func() {
		m.end()
		serving.Wait()
		require.NoError(t, os.RemoveAll(dir))
	})
	return m
}

func (m *monitor) serve(c net.Conn) {
	m.mu.Lock()
	m.conn = c
	m.mu.Unlock()
	_, _ = fmt.Fprintln(c, `{"QMP":{"version":{},"capabilities":[]}}`)
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		var command struct {
			Execute string
			ID      uint64
		}
		if json.Unmarshal(lines.Bytes(), &command) != nil {
			return
		}
		m.mu.Lock()
		m.got = append(m.got, command.Execute)
		m.mu.Unlock()
		_, _ = fmt.Fprintf(c, `{"return":{},"id":%d}`+"\n", command.ID)
	}
}

// end is QEMU's.
func (m *monitor) end() {
	_ = m.listener.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil {
		_ = m.conn.Close()
	}
}

func (m *monitor) commands() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.got...)
}

func TestHold(t *testing.T) {
	for kind, executed := range map[Kind][]string{
		HoldBefore: {"qmp_capabilities", "stop"},
		HoldAfter:  {"qmp_capabilities", "stop", "stop"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			m := newMonitor(t)
			p, err := TakePlace(m.path)
			require.NoError(t, err)
			f := NewFault("stop", 2, kind)
			p.Arm(f)
			conn, err := qmp.Dial(t.Context(), m.path)
			require.NoError(t, err)
			require.NoError(t, conn.Execute(t.Context(), "stop", nil, nil), "the first passes")
			ended := make(chan error, 1)
			go func() { ended <- conn.Execute(t.Context(), "stop", nil, nil) }()
			<-f.Reached()
			require.Equal(t, executed, m.commands())
			require.Empty(t, ended)
			f.Resume()
			require.NoError(t, <-ended)
			require.Equal(t, []string{"qmp_capabilities", "stop", "stop"}, m.commands())
			require.NoError(t, conn.Close())
			require.NoError(t, p.Close())
		})
	}
}

// A command that comes late is carried out before the next client's.
func TestLate(t *testing.T) {
	m := newMonitor(t)
	p, err := TakePlace(m.path)
	require.NoError(t, err)
	p.Arm(NewFault("stop", 1, Late))
	conn, err := qmp.Dial(t.Context(), m.path)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, conn.Execute(ctx, "stop", nil, nil), context.DeadlineExceeded)
	require.Equal(t, []string{"qmp_capabilities"}, m.commands())
	require.NoError(t, conn.Close())

	next, err := qmp.Dial(t.Context(), m.path)
	require.NoError(t, err)
	require.Equal(t, []string{"qmp_capabilities", "stop", "qmp_capabilities"}, m.commands())
	require.NoError(t, next.Close())
	require.NoError(t, p.Close())
}

// Who comes again after QEMU has ended is refused, as by QEMU's own socket.
func TestQEMUEnds(t *testing.T) {
	m := newMonitor(t)
	p, err := TakePlace(m.path)
	require.NoError(t, err)
	conn, err := qmp.Dial(t.Context(), m.path)
	require.NoError(t, err)
	m.end()
	require.Error(t, conn.Execute(t.Context(), "stop", nil, nil))
	require.NoError(t, conn.Close())
	_, err = qmp.Dial(t.Context(), m.path)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.NoError(t, p.Close())
}
