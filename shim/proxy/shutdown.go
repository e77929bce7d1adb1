// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import "time"

// goodbye is how long containerd may take to hang up after the answer to its
// Shutdown. ttrpc's client forgets an answer that it has not looked at when
// the connection's end arrives together with it, so we let it go first.
const goodbye = 200 * time.Millisecond

// Kata's shim answers Shutdown by exiting, without a response. containerd gets
// a success from us for a Shutdown that ends the inner shim.

func (s *session) expectShutdown(stream uint32) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.shutdowns == nil {
		s.shutdowns = make(map[uint32]struct{})
	}
	s.shutdowns[stream] = struct{}{}
}

// answered notes that the inner shim answered a call: a Shutdown that it does
// not follow, for example, because containers remain.
func (s *session) answered(stream uint32) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.shutdowns, stream)
}

// waitForGone is called when the inner shim has closed the connection. What
// the sandbox left behind goes before containerd notices the end: as soon as
// it does, it may start the next sandbox under the same name.
func (s *session) waitForGone() {
	if s.ctx.Err() == nil && !s.server.innerAnswers(s.ctx) {
		s.server.waitGone(s.ctx)
	}
}

// answerShutdowns tells containerd that the inner shim did what it was asked.
func (s *session) answerShutdowns() {
	streams := s.unanswered()
	if len(streams) == 0 || s.ctx.Err() != nil {
		return
	}
	if err := s.outer.SetWriteDeadline(time.Now().Add(lastWords)); err != nil {
		s.debug("answering Shutdown", err)
		return
	}
	for _, stream := range streams {
		if err := s.answer(success(stream)); err != nil {
			s.debug("answering Shutdown", err)
			return
		}
	}
	patience := time.NewTimer(goodbye)
	defer patience.Stop()
	select {
	case <-patience.C:
	case <-s.ctx.Done():
	}
}

func (s *session) unanswered() []uint32 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	streams := make([]uint32, 0, len(s.shutdowns))
	for stream := range s.shutdowns {
		streams = append(streams, stream)
	}
	return streams
}
