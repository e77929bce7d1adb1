// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A fault is what the proxy does, once, when its command comes by.
type fault string

const (
	loseCommand fault = "lose the command"
	loseAnswer  fault = "lose the answer"
	hangUp      fault = "hang up instead of answering"
	stopQEMU    fault = "stop QEMU after the command"
	refuse      fault = "refuse the command"
)

// proxy stands between a Sandbox and its monitor.
type proxy struct {
	t       *testing.T
	monitor string
	fault   fault
	stop    func()

	mu sync.Mutex
	// command is the one to disturb; empty afterwards.
	command string
	// lostID is the id of the answer to lose.
	lostID uint64
	// seen are the names of all commands.
	seen []string
}

// through puts a proxy between the machine's Sandbox and its monitor.
func (v *vm) through(t *testing.T, command string, f fault) *proxy {
	t.Helper()
	p := &proxy{t: t, monitor: v.monitor, command: command, fault: f}
	path := filepath.Join(shortDir(t), "proxy.sock")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.serve(c.(*net.UnixConn))
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		serving.Wait()
	})
	v.monitor = path
	return p
}

// disturbed says whether the fault has happened: a test that never met its
// fault proves nothing.
func (p *proxy) disturbed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.command == ""
}

// serve forwards one client at a time, as QEMU does.
func (p *proxy) serve(client *net.UnixConn) {
	defer func() { _ = client.Close() }()
	qemu, err := net.Dial("unix", p.monitor)
	if err != nil {
		return
	}
	var answers sync.WaitGroup
	answers.Go(func() { p.forwardAnswers(qemu, client) })
	p.forwardCommands(client, qemu.(*net.UnixConn))
	_ = qemu.Close()
	answers.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lostID = 0 // ids begin anew with the next client
}

func (p *proxy) forwardCommands(client, qemu *net.UnixConn) {
	b, oob := make([]byte, 64<<10), make([]byte, 1024)
	for {
		// The client sends one command at a time, each in one write.
		n, oobn, _, _, err := client.ReadMsgUnix(b, oob)
		if err != nil || n == 0 {
			return
		}
		fds := descriptors(oob[:oobn])
		id, lost := p.meets(b[:n])
		switch {
		case lost && p.fault == refuse:
			_, err = fmt.Fprintf(client, `{"error":{"class":"GenericError","desc":"not in this test"},"id":%d}`+"\n", id)
		case !lost:
			_, _, err = qemu.WriteMsgUnix(b[:n], unix.UnixRights(fds...), nil)
		}
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		if err != nil {
			return
		}
	}
}

// meets looks whether this command is to be disturbed, and whether it is lost.
func (p *proxy) meets(line []byte) (id uint64, lost bool) {
	var c struct {
		Execute string
		ID      uint64
	}
	if err := json.Unmarshal(line, &c); err != nil {
		p.t.Errorf("the client sent %q: %v", line, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, c.Execute)
	if p.command == "" || c.Execute != p.command {
		return c.ID, false
	}
	p.command = ""
	if p.fault == stopQEMU {
		p.stop()
	}
	if p.fault == loseCommand || p.fault == refuse {
		return c.ID, true
	}
	p.lostID = c.ID
	return c.ID, false
}

func (p *proxy) forwardAnswers(qemu io.Reader, client *net.UnixConn) {
	in := bufio.NewReader(qemu)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var m struct{ ID uint64 }
		if err := json.Unmarshal(line, &m); err != nil {
			p.t.Errorf("QEMU sent %q: %v", line, err)
		}
		p.mu.Lock()
		lost := m.ID != 0 && m.ID == p.lostID
		if lost {
			p.lostID = 0
		}
		p.mu.Unlock()
		if lost && p.fault == hangUp {
			_ = client.Close()
			return
		}
		if lost {
			continue
		}
		if _, err := client.Write(line); err != nil {
			return
		}
	}
}

func descriptors(oob []byte) []int {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var fds []int
	for _, m := range messages {
		got, err := unix.ParseUnixRights(&m)
		if err == nil {
			fds = append(fds, got...)
		}
	}
	return fds
}

// stopper stops a machine's QEMU like a hung one.
func (v *vm) stopper() func() {
	return func() { _ = v.cmd.Process.Signal(unix.SIGSTOP) }
}
