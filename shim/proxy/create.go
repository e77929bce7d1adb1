// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kata-tes/kata-tes/agentproto/traceparent"
)

// hold keeps a Create until the hook has agreed. The connection's other calls
// go on meanwhile.
func (s *session) hold(h header, frame []byte, arrived time.Time) {
	// The frame is valid until the next one is read.
	data := bytes.Clone(frame[headerSize:])
	s.held.Add(1)
	go func() {
		defer s.held.Done()
		if err := s.create(h, data, arrived); err != nil {
			if err := s.refuse(h.stream, err); err != nil {
				s.debug("answering Create", err)
			}
		}
	}()
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

	ctx := s.ctx
	if caller, ok := traceparent.Parse(metadata(data, traceparent.Key)); ok {
		ctx = traceparent.NewContext(ctx, caller)
	}
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

	s.server.hook.Forwarded()
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
