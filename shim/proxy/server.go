// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// dialTimeout bounds a connection to the inner shim. Unix sockets connect at
// once or not at all, unless the other side's queue is full.
const dialTimeout = 5 * time.Second

// Options are what a Server works with.
type Options struct {
	// Inner is the inner shim's address as its `start` printed it.
	Inner string
	// Hook is asked before each Create.
	Hook Hook
	// Gone, if not nil, is called once when the inner shim has ended, before
	// containerd's connections are closed.
	Gone func()
	Log  *logrus.Entry
}

// Server forwards the connections of one sandbox.
type Server struct {
	inner    string
	hook     Hook
	log      *logrus.Entry
	lifeline net.Conn
	onGone   func()
	// gone is closed when the inner shim has ended and onGone has returned.
	gone chan struct{}
}

// New connects to the inner shim. Serve or Close must follow.
func New(ctx context.Context, o Options) (*Server, error) {
	s := &Server{inner: o.Inner, hook: o.Hook, log: o.Log, onGone: o.Gone, gone: make(chan struct{})}
	var err error
	if s.lifeline, err = s.dial(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Close ends a Server that does not serve.
func (s *Server) Close() error { return s.lifeline.Close() }

// Serve forwards the listener's connections until the inner shim ends, which
// is a nil error, or the context, which hangs up and leaves the inner shim
// alone. Listener and connections are closed when it returns.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	inside, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(inside, func() {
		s.closeLogged(s.lifeline)
		s.closeLogged(l)
	})
	go s.watch(inside, l)

	var sessions sync.WaitGroup
	err := s.accept(inside, l, &sessions)
	select {
	case <-s.gone:
		err = nil
		// The sessions have seen the same end, and finish what they say.
		late := time.AfterFunc(lastWords, cancel)
		defer late.Stop()
	default:
		cancel()
	}
	sessions.Wait()
	cancel()
	<-s.gone
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// watch waits for the inner shim's end.
func (s *Server) watch(ctx context.Context, l net.Listener) {
	// The inner shim never sends anything on an idle connection.
	_, err := io.Copy(io.Discard, s.lifeline)
	if ctx.Err() == nil {
		s.log.WithError(err).Info("the inner shim has ended")
		if s.onGone != nil {
			s.onGone()
		}
	}
	close(s.gone)
	// Only now: until here a new connection finds an end, not a refusal that
	// looks like a crash.
	s.closeLogged(l)
}

func (s *Server) accept(ctx context.Context, l net.Listener, sessions *sync.WaitGroup) error {
	for {
		outer, err := l.Accept()
		if err != nil {
			if !isTemporary(err) {
				return fmt.Errorf("accepting a connection: %w", err)
			}
			s.log.WithError(err).Warn("accepting a connection; trying again")
			if !pause(ctx, time.Second) {
				return ctx.Err()
			}
			continue
		}
		sessions.Go(func() { s.serve(ctx, outer) })
	}
}

func (s *Server) serve(ctx context.Context, outer net.Conn) {
	inner, err := s.dial(ctx)
	if err != nil {
		// containerd sees a hang-up, as it would of the inner shim itself.
		s.log.WithError(err).Warn("a connection of containerd has no counterpart")
		s.closeLogged(outer)
		return
	}
	newSession(ctx, s, outer, inner).run()
}

func (s *Server) dial(ctx context.Context) (net.Conn, error) {
	return Dial(ctx, s.inner)
}

// innerAnswers says whether the inner shim still takes connections.
func (s *Server) innerAnswers(ctx context.Context) bool {
	conn, err := s.dial(ctx)
	if err != nil {
		return false
	}
	s.closeLogged(conn)
	return true
}

// waitGone waits until the end of the inner shim has been dealt with.
func (s *Server) waitGone(ctx context.Context) {
	select {
	case <-s.gone:
	case <-ctx.Done():
	}
}

func (s *Server) closeLogged(c io.Closer) {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.log.WithError(err).Warn("closing a connection")
	}
}
