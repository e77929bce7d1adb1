// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
)

// Command is what to run in the node, as root.
type Command struct {
	// Line is given to a shell.
	Line   string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Terminal asks for one of that many rows and columns.
	Terminal      bool
	Rows, Columns int
	// Signals are passed on to the command.
	Signals <-chan ssh.Signal
}

// connect opens the way into the node and watches over it from then on.
func (n *Node) connect(ctx context.Context, port int, k *keys) error {
	dialer := net.Dialer{Timeout: answerLimit}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("%w: connecting to it: %w", ErrInfrastructure, err)
	}
	if err := conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return fmt.Errorf("connecting to the node: %w", err)
	}
	sshConn, channels, requests, err := ssh.NewClientConn(conn, address, k.clientConfig())
	if err != nil {
		_ = conn.Close()
		return fmt.Errorf("%w: connecting to it: %w", ErrInfrastructure, err)
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("connecting to the node: %w", err)
	}
	n.client = ssh.NewClient(sshConn, channels, requests)
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	go func() {
		defer close(n.watched)
		n.watch(watching)
	}()
	return nil
}

// watch asks the node from time to time whether it is alive.
func (n *Node) watch(ctx context.Context) {
	const interval = 10 * time.Second
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-n.console.lost:
			n.lose(err)
			return
		case <-n.process.Ended():
			n.lose(n.qemuEnded())
			return
		case <-ticker.C:
			if err := n.ask(ctx); err != nil {
				n.lose(err)
				return
			}
		}
	}
}

func (n *Node) ask(ctx context.Context) error {
	answer := make(chan error, 1)
	go func() {
		_, _, err := n.client.SendRequest("keepalive@openssh.com", true, nil)
		answer <- err
	}()
	limit := time.NewTimer(answerLimit)
	defer limit.Stop()
	select {
	case err := <-answer:
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%w: its connection broke: %w", ErrInfrastructure, err)
		}
		return nil
	case err := <-n.console.lost:
		return err
	case <-n.process.Ended():
		return n.qemuEnded()
	case <-ctx.Done():
		return nil
	case <-limit.C:
		return fmt.Errorf("%w: no answer for %v; its console ends with:\n%s", ErrInfrastructure, answerLimit, n.console.tail(20))
	}
}

// Run runs a command and gives its exit status (128 and the signal's number
// is the shell's way to say that a signal ended it). The error wraps
// ErrInfrastructure when the node was lost meanwhile.
func (n *Node) Run(ctx context.Context, c Command) (status int, err error) {
	session, err := n.client.NewSession()
	if err != nil {
		return 0, fmt.Errorf("%w: opening a session: %w", ErrInfrastructure, err)
	}
	defer func() { _ = session.Close() }()
	session.Stdout, session.Stderr = c.Stdout, c.Stderr
	if err := feed(session, c.Stdin); err != nil {
		return 0, err
	}
	if c.Terminal {
		if err := session.RequestPty("xterm", c.Rows, c.Columns, ssh.TerminalModes{}); err != nil {
			return 0, fmt.Errorf("asking for a terminal: %w", err)
		}
	}
	if err := session.Start(c.Line); err != nil {
		return 0, fmt.Errorf("%w: starting a command: %w", ErrInfrastructure, err)
	}
	done := make(chan error, 1)
	go func() { done <- session.Wait() }()
	for {
		select {
		case err := <-done:
			return n.exitStatus(err)
		case signal := <-c.Signals:
			if err := session.Signal(signal); err != nil {
				return 0, fmt.Errorf("passing on a signal: %w", err)
			}
		case <-n.lost:
			return 0, n.cause
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// feed copies standard input. Not by session.Stdin: that makes Wait wait for
// the end of an input that a terminal never has.
func feed(session *ssh.Session, from io.Reader) error {
	if from == nil {
		return nil
	}
	input, err := session.StdinPipe()
	if err != nil {
		return fmt.Errorf("opening the command's input: %w", err)
	}
	go func() {
		// Ends with the input or with the session; neither is a failure.
		_, _ = io.Copy(input, from)
		_ = input.Close()
	}()
	return nil
}

func (n *Node) exitStatus(err error) (int, error) {
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.Signal() != "":
		return 0, fmt.Errorf("the command was ended by signal %s", exit.Signal())
	case errors.As(err, &exit):
		return exit.ExitStatus(), nil
	default:
		return 0, fmt.Errorf("%w: its connection broke: %w", ErrInfrastructure, err)
	}
}
