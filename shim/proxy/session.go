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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// lastWords is how long an answer to a connection that is about to be closed
// may take: its other side may have stopped reading.
const lastWords = 2 * time.Second

// session is one connection of containerd's and the inner one beside it.
type session struct {
	server *Server
	log    *logrus.Entry
	outer  net.Conn
	inner  net.Conn

	// hangup ends what this connection's calls are doing.
	ctx    context.Context
	hangup context.CancelFunc

	// creating ends with ctx, or with the inner shim's end as its cause: then
	// Creates that are held still have their answer.
	creating context.Context
	giveUp   context.CancelCauseFunc
	held     sync.WaitGroup

	// writing serialises frames to containerd: from the inner shim, and
	// answers to calls that were held back.
	writing sync.Mutex

	mutex sync.Mutex
	// shutdowns are the streams of Shutdown calls without an answer yet.
	shutdowns map[uint32]struct{}
	// holding counts the Creates that are held; over says that there will be no
	// more.
	holding int
	over    bool
}

func newSession(ctx context.Context, server *Server, outer, inner net.Conn) *session {
	s := &session{server: server, log: server.log, outer: outer, inner: inner}
	s.ctx, s.hangup = context.WithCancel(ctx)
	s.creating, s.giveUp = context.WithCancelCause(s.ctx)
	return s
}

// run forwards until either side hangs up. Both connections are closed and all
// goroutines are gone when it returns.
func (s *session) run() {
	// Whoever ends the context ends the connections, and so all that reads
	// from them.
	context.AfterFunc(s.ctx, s.close)
	requests := make(chan struct{})
	go func() {
		defer close(requests)
		s.forwardRequests()
		s.hangup()
	}()

	s.forwardResponses()
	s.hangup()
	<-requests
	s.held.Wait()
	s.close()
}

// forwardRequests copies from containerd to the inner shim until containerd
// hangs up.
func (s *session) forwardRequests() {
	frames := newFrameReader(s.outer)
	for {
		h, err := frames.next()
		if err == nil {
			err = s.forwardRequest(frames, h)
		}
		if errors.Is(err, errInnerWrite) {
			// The inner shim has hung up. What it said before that is still
			// on its way to containerd: it is for forwardResponses to end.
			s.debug("requests to the inner shim", errors.Join(err, s.inner.SetReadDeadline(time.Now().Add(lastWords))))
			<-s.ctx.Done()
			return
		}
		if err != nil {
			s.debug("requests of containerd", err)
			return
		}
	}
}

func (s *session) forwardRequest(frames *frameReader, h header) error {
	if h.kind != typeRequest {
		return frames.pass(h, innerWriter{s.inner})
	}
	if h.length > maxData {
		// The inner shim would say the same; said here, no request goes by
		// unread.
		if err := frames.discard(h); err != nil {
			return err
		}
		return s.refuse(h.stream, errOversized(h.length))
	}
	frame, err := frames.whole(h)
	if err != nil {
		return err
	}
	r, err := parseRequest(frame[headerSize:])
	switch {
	case err != nil:
		return s.refuse(h.stream, status.Errorf(codes.InvalidArgument, "unmarshal request error: %v", err))
	case r.isTask(methodCreate):
		s.hold(h, frame, time.Now())
		return nil
	case r.isTask(methodShutdown):
		s.expectShutdown(h.stream)
	case r.isTask(methodKill) && isSIGKILL(r.payload):
		s.server.hook.Killed()
	}
	_, err = innerWriter{s.inner}.Write(frame)
	return err
}

// forwardResponses copies from the inner shim to containerd until the inner
// shim hangs up.
func (s *session) forwardResponses() {
	frames := newFrameReader(s.inner)
	for {
		h, err := frames.next()
		if err != nil {
			s.debug("answers of the inner shim", err)
			s.waitForGone()
			s.lastAnswers()
			return
		}
		if h.kind == typeResponse {
			s.answered(h.stream)
		}
		if err := s.passResponse(frames, h); err != nil {
			// Half a frame may have gone out: nothing can follow it.
			s.debug("answers to containerd", err)
			s.waitForGone()
			return
		}
	}
}

func (s *session) passResponse(frames *frameReader, h header) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return frames.pass(h, s.outer)
}

// answer writes a frame of our own to containerd.
func (s *session) answer(frame []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.outer.Write(frame)
	return err
}

func (s *session) refuse(stream uint32, reason error) error {
	frame, err := failure(stream, reason)
	if err != nil {
		return err
	}
	return s.answer(frame)
}

func (s *session) close() {
	s.server.closeLogged(s.outer)
	s.server.closeLogged(s.inner)
}

// debug notes how a direction ended; the ends of connections are everyday.
func (s *session) debug(what string, err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		err = nil
	}
	if err != nil && s.log.Logger.IsLevelEnabled(logrus.DebugLevel) {
		s.log.WithError(err).Debugf("%s ended", what)
	}
}

// errInnerWrite marks the failures to write to the inner shim among those to
// forward a request.
var errInnerWrite = errors.New("writing to the inner shim")

type innerWriter struct{ net.Conn }

func (w innerWriter) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	if err != nil {
		err = fmt.Errorf("%w: %w", errInnerWrite, err)
	}
	return n, err
}
