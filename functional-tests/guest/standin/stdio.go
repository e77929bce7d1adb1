// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/containerd/go-runc"
	"golang.org/x/sys/unix"
)

// stdio is the streams of one process: pipes, or a terminal that runc makes in
// the container and hands over. Kata reads them as soon as it can.
type stdio struct {
	stdin, stdout, stderr *os.File
	// theirs are the process's ends, closed here once it has them.
	theirs []*os.File
	// socket is where runc sends the terminal.
	socket *runc.Socket
}

func newStdio(terminal bool) (*stdio, error) {
	s := &stdio{}
	open := s.openPipes
	if terminal {
		open = s.openSocket
	}
	if err := open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *stdio) openPipes() error {
	for _, stream := range []struct {
		ours  **os.File
		input bool
	}{{&s.stdin, true}, {&s.stdout, false}, {&s.stderr, false}} {
		reader, writer, err := os.Pipe()
		if err != nil {
			return fmt.Errorf("making a pipe: %w", err)
		}
		ours, theirs := reader, writer
		if stream.input {
			ours, theirs = writer, reader
		}
		*stream.ours = ours
		s.theirs = append(s.theirs, theirs)
	}
	return nil
}

func (s *stdio) openSocket() error {
	socket, err := runc.NewTempConsoleSocket()
	if err != nil {
		return fmt.Errorf("making a socket for the terminal: %w", err)
	}
	s.socket = socket
	// A terminal has no standard error of its own: its reader sees the end.
	ours, end, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	s.stderr = ours
	return end.Close()
}

// receiveTerminal takes the terminal that runc has sent by the time it ends.
func (s *stdio) receiveTerminal() error {
	if s.socket == nil {
		return nil
	}
	terminal, err := s.socket.ReceiveMaster()
	if err != nil {
		return fmt.Errorf("receiving the terminal: %w", err)
	}
	defer func() { _ = terminal.Close() }()
	// Not blocking, so that Go's poller ends a read when the file is closed.
	fd, err := unix.FcntlInt(terminal.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return fmt.Errorf("receiving the terminal: %w", err)
	}
	s.stdin = os.NewFile(uintptr(fd), "terminal")
	s.stdout = s.stdin
	return nil
}

// forRunc are the streams as runc's library wants them: none with a terminal.
func (s *stdio) forRunc() (runc.IO, runc.ConsoleSocket) {
	if s.socket != nil {
		return nil, s.socket
	}
	return s, nil
}

// Set gives a command the process's ends.
func (s *stdio) Set(cmd *exec.Cmd) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.theirs[0], s.theirs[1], s.theirs[2]
}

// Stdin, Stdout and Stderr are our ends.
func (s *stdio) Stdin() io.WriteCloser { return s.stdin }
func (s *stdio) Stdout() io.ReadCloser { return s.stdout }
func (s *stdio) Stderr() io.ReadCloser { return s.stderr }

// CloseAfterStart closes the ends that the process has now.
func (s *stdio) CloseAfterStart() error {
	var err error
	for _, file := range s.theirs {
		err = errors.Join(err, file.Close())
	}
	s.theirs = nil
	return err
}

// Close closes everything; what is closed already stays so.
func (s *stdio) Close() error {
	err := s.CloseAfterStart()
	for _, file := range []*os.File{s.stdin, s.stdout, s.stderr} {
		if file == nil {
			continue
		}
		if closed := file.Close(); closed != nil && !errors.Is(closed, os.ErrClosed) {
			err = errors.Join(err, closed)
		}
	}
	if s.socket != nil {
		folder := filepath.Dir(s.socket.Path())
		err = errors.Join(err, s.socket.Close(), os.RemoveAll(folder))
		s.socket = nil
	}
	return err
}

func (s *stdio) isTerminal() bool { return s.stdin != nil && s.stdin == s.stdout }

// closeInput ends the process's standard input.
func (s *stdio) closeInput() error {
	if s.isTerminal() {
		// Closing the terminal would take the output with it.
		_, err := s.stdin.Write([]byte{4}) // Ctrl-D
		return err
	}
	if err := s.stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

func (s *stdio) resize(rows, columns uint32) error {
	if !s.isTerminal() {
		return nil
	}
	// Not by Fd(), which would make the file block.
	connection, err := s.stdin.SyscallConn()
	if err != nil {
		return fmt.Errorf("resizing the terminal: %w", err)
	}
	size := &unix.Winsize{Row: uint16(rows), Col: uint16(columns)}
	var failed error
	err = connection.Control(func(fd uintptr) { failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size) })
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("resizing the terminal: %w", err)
	}
	return nil
}
