// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qmptest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// session is one client's time with QEMU.
type session struct {
	proxy        *Proxy
	client, qemu *net.UnixConn

	// over is closed when QEMU says nothing more.
	over chan struct{}

	mu sync.Mutex
	// ended says that it was not QEMU that ended the connection.
	ended bool
}

func (s *session) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	_ = s.qemu.Close()
}

func (s *session) forwardCommands() {
	b, oob := make([]byte, 64<<10), make([]byte, 1024)
	for {
		// The client sends one command at a time, each in one write.
		n, oobn, _, _, err := s.client.ReadMsgUnix(b, oob)
		if err != nil || n == 0 {
			return
		}
		fds, err := descriptors(oob[:oobn])
		if err == nil {
			err = s.forward(b[:n], fds)
		}
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		if err != nil {
			return
		}
	}
}

// forward passes a command on, or does to it what its fault says.
func (s *session) forward(line []byte, fds []int) error {
	f := s.proxy.meets(line)
	if f == nil {
		return s.pass(line, fds)
	}
	if f.Do != nil {
		f.Do()
	}
	switch f.Kind {
	case LoseCommand:
		close(f.reached)
		return nil
	case Refuse:
		close(f.reached)
		_, err := fmt.Fprintf(s.client, `{"error":{"class":"GenericError","desc":%q},"id":%d}`+"\n", Refusal, f.id)
		return err
	case HoldBefore:
		close(f.reached)
		<-f.resumed
	case Late:
		close(f.reached)
		// It sends nothing while it waits for an answer.
		if _, err := s.client.Read(make([]byte, 1)); err == nil {
			return fmt.Errorf("the client sends a command before it has the answer of %s", f.Command)
		}
		if err := s.pass(line, fds); err != nil {
			return err
		}
		select {
		case <-f.answered:
		case <-s.over:
		}
		return net.ErrClosed
	}
	return s.pass(line, fds)
}

func (s *session) pass(line []byte, fds []int) error {
	_, _, err := s.qemu.WriteMsgUnix(line, unix.UnixRights(fds...), nil)
	if err != nil {
		s.qemuEnded()
	}
	return err
}

// meets looks whether this command is the one to disturb.
func (p *Proxy) meets(line []byte) *Fault {
	var c struct {
		Execute string
		ID      uint64
	}
	if err := json.Unmarshal(line, &c); err != nil {
		p.failed(fmt.Errorf("the client sent %q: %w", line, err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, c.Execute)
	p.count[c.Execute]++
	f := p.fault
	if f == nil || f.Happened() || f.id != 0 || f.Command != c.Execute || f.Nth != p.count[c.Execute] {
		return nil
	}
	f.id = c.ID
	return f
}

func (s *session) forwardAnswers() {
	defer close(s.over)
	in := bufio.NewReader(s.qemu)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			s.qemuEnded()
			return
		}
		var m struct{ ID uint64 }
		if err := json.Unmarshal(line, &m); err != nil {
			s.proxy.failed(fmt.Errorf("QEMU sent %q: %w", line, err))
		}
		f := s.proxy.isAnswered(m.ID)
		if f != nil && !s.passes(f) {
			continue
		}
		// That the client has gone is seen where its commands are read.
		_, _ = s.client.Write(line)
	}
}

// isAnswered gives the fault whose command has that id.
func (p *Proxy) isAnswered(id uint64) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id == 0 || p.fault == nil || p.fault.id != id {
		return nil
	}
	return p.fault
}

// passes does to the answer what the fault says, and says whether it goes to the
// client.
func (s *session) passes(f *Fault) bool {
	switch f.Kind {
	case Late:
		close(f.answered)
		return false
	case LoseAnswer:
		close(f.reached)
		return false
	case HangUp:
		close(f.reached)
		_ = s.client.Close()
		return false
	case HoldAfter:
		close(f.reached)
		<-f.resumed
	}
	return true
}

// qemuEnded stops the proxy's listening, where it was QEMU that hung up, before
// the client hears of it: when it comes again, it is refused.
func (s *session) qemuEnded() {
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if !ended {
		s.proxy.stopListening()
		_ = s.client.Close()
	}
}

// descriptors are those that came with a message.
func descriptors(oob []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var fds []int
	for _, m := range messages {
		got, err := unix.ParseUnixRights(&m)
		if err != nil {
			return fds, err
		}
		fds = append(fds, got...)
	}
	return fds, nil
}
