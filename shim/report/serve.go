// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	// tellLimit bounds the making of a document, writeLimit its writing: it fits
	// the socket's buffer, so that a reader who sleeps hardly matters.
	tellLimit  = 3 * time.Second
	writeLimit = time.Second
	// maxAsking questions are answered at a time; the others wait in the
	// kernel's queue.
	maxAsking = 4
	// acceptPause is for a process without descriptors left.
	acceptPause = time.Second

	socketMode = 0o600
)

// Server answers on a socket.
type Server struct {
	listener *net.UnixListener
	tell     func(ctx context.Context) Sandbox
	log      *logrus.Entry

	// life ends with Close.
	life  context.Context
	end   context.CancelFunc
	tasks sync.WaitGroup
}

// Serve answers on a new socket at path until Close. What was there before is
// replaced: it is of a sandbox of that name that has ended. tell makes the
// document, until its context ends.
//
// The socket's file stays; it goes with the folder that it is in. That folder
// is for nobody but us, so that it doesn't matter what mode the socket has until
// it is given its own.
func Serve(path string, tell func(ctx context.Context) Sandbox, log *logrus.Entry) (*Server, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("making the status socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("making the status socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(fmt.Errorf("making the status socket: %w", err), l.Close())
	}
	s := &Server{listener: l, tell: tell, log: log}
	s.life, s.end = context.WithCancel(context.Background())
	s.tasks.Go(s.accept)
	return s, nil
}

// Close ends the serving and waits for answers that are being given, which it
// cuts short.
func (s *Server) Close() error {
	s.end()
	err := s.listener.Close()
	s.tasks.Wait()
	return err
}

func (s *Server) accept() {
	asking := make(chan struct{}, maxAsking)
	for {
		select {
		case asking <- struct{}{}:
		case <-s.life.Done():
			return
		}
		conn, err := s.listener.AcceptUnix()
		if err == nil {
			s.tasks.Go(func() {
				defer func() { <-asking }()
				s.answer(conn)
			})
			continue
		}
		<-asking
		if s.life.Err() == nil {
			s.log.WithError(err).Warn("the status socket accepts no connection; trying again")
		}
		select {
		case <-time.After(acceptPause):
		case <-s.life.Done():
			return
		}
	}
}

// answer tells one caller. One who has gone is no concern of ours.
func (s *Server) answer(conn *net.UnixConn) {
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(s.life, tellLimit)
	defer cancel()
	document, err := encode(s.tell(ctx))
	if err != nil {
		s.log.WithError(err).Warn("the status could not be told")
		return
	}
	if err := conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return
	}
	_, _ = conn.Write(document)
}
