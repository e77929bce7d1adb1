// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qmptest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
)

// Proxy listens in the place of a monitor, and serves one client at a time as
// QEMU does. When QEMU ends it stops listening, so that a client is refused as
// it would be by a monitor whose QEMU has ended.
type Proxy struct {
	monitor  string
	listener *net.UnixListener
	serving  sync.WaitGroup

	mu sync.Mutex
	// fault is the armed one; it stays after it has happened.
	fault *Fault
	// seen are the names of all commands, counted those of each name.
	seen  []string
	count map[string]int
	// current are the connections that are open.
	current []net.Conn
	closed  bool
	errs    []error
}

// Listen makes a proxy at the path for the monitor at another one.
func Listen(path, monitor string) (*Proxy, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listening in a monitor's place: %w", err)
	}
	// As the socket of a QEMU that was killed: it stays, and refuses.
	l.SetUnlinkOnClose(false)
	p := &Proxy{monitor: monitor, listener: l, count: map[string]int{}}
	p.serving.Go(p.accept)
	return p, nil
}

// TakePlace moves the socket of a monitor that runs aside and listens in its
// place. Clients that are connected stay where they are.
func TakePlace(monitor string) (*Proxy, error) {
	aside := monitor + ".qemu"
	if err := os.Rename(monitor, aside); err != nil {
		return nil, fmt.Errorf("taking a monitor's place: %w", err)
	}
	p, err := Listen(monitor, aside)
	if err != nil {
		return nil, errors.Join(err, os.Rename(aside, monitor))
	}
	return p, os.Chmod(monitor, 0o600)
}

// Arm has the proxy do harm once. Commands are counted from here on.
func (p *Proxy) Arm(f *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
	p.count = map[string]int{}
}

// Seen are the names of all commands so far, in order.
func (p *Proxy) Seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

// Close ends it, with the connections that are open, and says what a client or
// QEMU sent that was no message of the protocol.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	fault, current := p.fault, slices.Clone(p.current)
	p.mu.Unlock()
	p.stopListening()
	if fault != nil {
		fault.Resume()
	}
	for _, c := range current {
		_ = c.Close()
	}
	p.serving.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.errs...)
}

// QEMUEnded has it refuse clients from now on. It notices by itself when QEMU
// ends under a client; whoever kills QEMU between two clients has to tell, because
// the next one would be accepted before it could be refused.
func (p *Proxy) QEMUEnded() { p.stopListening() }

func (p *Proxy) stopListening() {
	if err := p.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		p.failed(err)
	}
}

func (p *Proxy) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs = append(p.errs, err)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.AcceptUnix()
		if err != nil {
			return
		}
		p.serve(client)
	}
}

// opened notes a connection that Close has to end.
func (p *Proxy) opened(conns ...net.Conn) (ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current = conns
	return !p.closed
}

func (p *Proxy) serve(client *net.UnixConn) {
	defer func() { _ = client.Close() }()
	raw, err := net.Dial("unix", p.monitor)
	if err != nil {
		// QEMU has ended. Before the client hears of it, so that it is refused
		// when it comes again.
		p.stopListening()
		return
	}
	qemu := raw.(*net.UnixConn)
	defer func() { _ = qemu.Close() }()
	if !p.opened(client, qemu) {
		return
	}
	s := &session{proxy: p, client: client, qemu: qemu, over: make(chan struct{})}
	var answers sync.WaitGroup
	answers.Go(s.forwardAnswers)
	s.forwardCommands()
	s.end()
	answers.Wait()
}
