// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"slices"
	"sync"

	"github.com/sirupsen/logrus"
)

const (
	// maxPending is how many spans may wait for Flush. A Create has about
	// twenty, and its retry begins when it has ended.
	maxPending = 256
	// maxInLine is how many spans a line has, so that none comes near the
	// collector's limit for a line, 1 MiB.
	maxInLine = 32
	// maxAttributes is how many attributes a span may have.
	maxAttributes = 8
)

// Options are what a Recorder needs to know.
type Options struct {
	// Root is where the folder of traces is, see rundir.
	Root string
	// Sandbox is the sandbox's id, Version the shim's, Host the node's name.
	Sandbox, Version, Host string
	Log                    *logrus.Entry
}

// Recorder keeps the spans that have ended and brings them to the node's file.
// Its methods may be called at the same time.
type Recorder struct {
	Options

	mu      sync.Mutex
	pending []*Span
	dropped int
	// flushing: pending is to be written. writing is closed by the goroutine
	// that does so when it ends; nil while there is none.
	flushing bool
	writing  chan struct{}
}

// New makes a recorder. Nothing is written before the first span.
func New(o Options) *Recorder { return &Recorder{Options: o} }

// note keeps a span until Flush.
func (r *Recorder) note(s *Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending) == maxPending {
		r.dropped++
		return
	}
	r.pending = append(r.pending, s)
}

// Flush has the spans that have ended written, and doesn't wait for it.
func (r *Recorder) Flush() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending) == 0 {
		return
	}
	r.flushing = true
	if r.writing == nil {
		ended := make(chan struct{})
		r.writing = ended
		go func() {
			defer close(ended)
			r.write()
		}()
	}
}

// Close has what is pending written and waits for it, within the lock's time
// limit.
func (r *Recorder) Close() {
	if r == nil {
		return
	}
	r.Flush()
	r.mu.Lock()
	writing := r.writing
	r.mu.Unlock()
	if writing != nil {
		<-writing
	}
}

// write brings spans to the file until nobody asks for more.
func (r *Recorder) write() {
	for {
		spans, dropped, more := r.take()
		if !more {
			return
		}
		log := r.Log.WithField("spans", len(spans))
		if dropped > 0 {
			log.WithField("dropped", dropped).Warn("more spans at once than are kept; some are lost")
		}
		for some := range slices.Chunk(spans, maxInLine) {
			line, err := r.encode(some)
			if err == nil {
				err = appendLine(r.Root, line)
			}
			if err != nil {
				log.WithError(err).Warn("the node's traces could not be written; these spans are lost")
				break
			}
		}
	}
}

func (r *Recorder) take() (spans []*Span, dropped int, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.flushing {
		r.writing = nil
		return nil, 0, false
	}
	spans, dropped = r.pending, r.dropped
	r.pending, r.dropped, r.flushing = nil, 0, false
	return spans, dropped, true
}
