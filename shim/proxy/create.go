// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// hold keeps a Create until the hook has agreed. The connection's other calls
// go on meanwhile.
func (s *session) hold(h header, frame []byte, arrived time.Time) {
	// The frame is valid until the next one is read.
	data := bytes.Clone(frame[headerSize:])
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.over {
		return // the connection is about to end
	}
	s.holding++
	s.held.Add(1)
	go func() {
		defer s.release()
		err := s.create(h, data, arrived)
		if err == nil {
			return
		}
		if errors.Is(context.Cause(s.creating), errInnerEnded) {
			err = errInnerEnded
		}
		if err := s.refuse(h.stream, err); err != nil {
			s.debug("answering Create", err)
		}
	}()
}

// release ends the holding of a Create.
func (s *session) release() {
	s.mutex.Lock()
	s.holding--
	s.mutex.Unlock()
	s.held.Done()
}

// errInnerEnded is the answer to a Create that the inner shim did not live to see.
var errInnerEnded = status.Error(codes.Unavailable, "Kata's shim has ended while the container was being created, and the pod with it "+
	"(killed, out of memory, or its virtual machine has ended); the pod is made again, see containerd's log for the reason")

// giveUpCreates has the Creates that are held answered, and says whether there
// were some.
func (s *session) giveUpCreates() bool {
	s.mutex.Lock()
	s.over = true
	some := s.holding > 0
	s.mutex.Unlock()
	if !some {
		return false
	}
	s.giveUp(errInnerEnded)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.held.Wait()
	}()
	patience := time.NewTimer(lastWords)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
	case <-s.ctx.Done():
	}
	return true
}

// create asks the hook and forwards the call. A nil error means that the call
// has its answer.
func (s *session) create(h header, data []byte, arrived time.Time) error {
	r, err := parseRequest(data)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "unmarshal request error: %v", err)
	}
	id, bundle, err := parseCreate(r.payload)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "unmarshal CreateTaskRequest: %v", err)
	}

	ctx := s.creating
	if r.timeout != 0 {
		// From the frame's arrival, as the inner shim would count.
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, arrived.Add(r.timeout))
		defer cancel()
	}
	if err := s.server.hook.Create(ctx, id, bundle); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		// Nobody waits any more.
		return status.FromContextError(err).Err()
	}
	if r.timeout != 0 {
		if data, err = withTimeout(data, max(1, r.timeout-time.Since(arrived))); err != nil {
			return status.Errorf(codes.InvalidArgument, "unmarshal request error: %v", err)
		}
	}
	return s.forwardAlone(h, data)
}

// forwardAlone makes one call over a connection of its own and copies what
// comes back up to the response.
func (s *session) forwardAlone(h header, data []byte) error {
	conn, err := s.server.dial(s.ctx)
	if err != nil {
		return unavailable(err)
	}
	stop := context.AfterFunc(s.ctx, func() { s.server.closeLogged(conn) })
	defer func() {
		if stop() {
			s.server.closeLogged(conn)
		}
	}()

	h.length = uint32(len(data))
	if _, err := conn.Write(append(h.append(make([]byte, 0, h.size())), data...)); err != nil {
		return unavailable(err)
	}
	frames := newFrameReader(conn)
	for {
		answer, err := frames.next()
		if err != nil {
			return unavailable(err)
		}
		if err := s.passResponse(frames, answer); err != nil {
			// Half a frame may have gone out: nothing can follow it.
			s.debug("answering Create", err)
			s.hangup()
			return nil
		}
		if answer.kind == typeResponse {
			return nil
		}
	}
}
