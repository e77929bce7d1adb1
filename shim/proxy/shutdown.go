// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import "time"

// goodbye is how long containerd may take to hang up after the last answers, that
// to its Shutdown for example. ttrpc's client forgets an answer that it has not looked at when
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

// lastAnswers are those to calls that the inner shim has left without one, though
// we can tell what became of them. Then containerd may hang up.
func (s *session) lastAnswers() {
	if s.ctx.Err() != nil {
		return
	}
	if err := s.outer.SetWriteDeadline(time.Now().Add(lastWords)); err != nil {
		s.debug("answering the last calls", err)
		return
	}
	creates := s.giveUpCreates()
	if !s.answerShutdowns() && !creates {
		return
	}
	patience := time.NewTimer(goodbye)
	defer patience.Stop()
	select {
	case <-patience.C:
	case <-s.ctx.Done():
	}
}

// answerShutdowns tells containerd that the inner shim did what it was asked, and
// says whether it had been.
func (s *session) answerShutdowns() bool {
	streams := s.unanswered()
	for _, stream := range streams {
		if err := s.answer(success(stream)); err != nil {
			s.debug("answering Shutdown", err)
			return false
		}
	}
	return len(streams) > 0
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
