// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"context"
	"time"

	"github.com/kata-tes/kata-tes/agentproto/traceparent"
)

// Kinds of spans, as OTLP numbers them (trace.proto, SpanKind).
const (
	internal = 1
	server   = 2
	client   = 3
)

// Attributes of ours, named as the log's fields are.
const (
	Container = prefix + "container"
	Store     = prefix + "store"
	Device    = prefix + "device"
	// ErrorType is OpenTelemetry's; ours has the metrics' word for the reason.
	ErrorType = "error.type"
)

// Span is a piece of work that belongs to a trace. It is used by one goroutine;
// others may make a Child of it, or Link to it.
type Span struct {
	recorder *Recorder
	place    traceparent.Context
	parent   [8]byte
	// remote: the parent is another process's.
	remote bool
	// inGuest: it is the guest's work, by its own account.
	inGuest bool

	name         string
	kind         int
	began, ended time.Time
	attributes   []attribute
	links        []traceparent.Context
	failed       bool
	failure      string
}

type attribute struct{ key, value string }

// Begin is a span below the one that the call named (traceparent.FromContext);
// nil where the call named none, or one that nobody records.
func (r *Recorder) Begin(ctx context.Context, name string) *Span {
	caller, ok := traceparent.FromContext(ctx)
	if r == nil || !ok || !caller.Sampled {
		return nil
	}
	return &Span{recorder: r, place: caller.Child(), parent: caller.Span, remote: true, name: name, kind: server, began: time.Now()}
}

// Child is a span below this one.
func (s *Span) Child(name string) *Span {
	if s == nil {
		return nil
	}
	return &Span{recorder: s.recorder, place: s.place.Child(), parent: s.place.Span, name: name, kind: internal, began: time.Now()}
}

// Set adds an attribute.
func (s *Span) Set(key, value string) {
	if s != nil && len(s.attributes) < maxAttributes {
		s.attributes = append(s.attributes, attribute{key, value})
	}
}

// Link says that another span, maybe of another trace, did the work.
func (s *Span) Link(to *Span) {
	if s != nil && to != nil {
		s.links = append(s.links, to.place)
	}
}

// Call is what the call that the span is says of itself, for its header; empty
// for a nil Span.
func (s *Span) Call() string {
	if s == nil {
		return ""
	}
	s.kind = client
	return s.place.String()
}

// End ends the span. err is what it failed of.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	// By the monotonic clock, whatever happens to the other.
	s.ended = s.began.Add(time.Since(s.began))
	if err != nil {
		s.failed, s.failure = true, err.Error()
	}
	s.recorder.note(s)
}

// Flush has the spans that have ended written, see Recorder.Flush.
func (s *Span) Flush() {
	if s != nil {
		s.recorder.Flush()
	}
}

// Step is a step of the guest's, by its own account.
type Step struct {
	Name string
	Took time.Duration
}

// Guest adds what the guest did in the call that this span is, which has just
// been answered: a span of that name, with one below it for each step. The
// guest's clock is its own, so the last step ends now and the others before it,
// one after the other. err is what the call, and so the last step, failed of.
func (s *Span) Guest(name string, steps []Step, err error) {
	if s == nil {
		return
	}
	now := s.began.Add(time.Since(s.began))
	steps, before := Within(steps, now.Sub(s.began))
	at := s.began.Add(before)
	call := s.ofGuest(name, server)
	call.remote = true
	call.began = at
	for i, step := range steps {
		span := call.ofGuest(step.Name, internal)
		span.began = at
		at = at.Add(step.Took)
		span.ended = at
		span.failed = err != nil && i == len(steps)-1
		s.recorder.note(span)
	}
	call.ended = now
	if err != nil {
		call.failed, call.failure = true, err.Error()
	}
	s.recorder.note(call)
}

// Within are the steps as they fit into a call that took so long, and what it has
// left before them: a guest may say anything.
func Within(steps []Step, call time.Duration) (fit []Step, before time.Duration) {
	for _, step := range steps {
		took := min(max(0, step.Took), call)
		call -= took
		fit = append(fit, Step{step.Name, took})
	}
	return fit, call
}

func (s *Span) ofGuest(name string, kind int) *Span {
	child := s.Child(name)
	child.inGuest, child.kind = true, kind
	return child
}

type key struct{}

// NewContext is a context that has the span in it.
func NewContext(ctx context.Context, s *Span) context.Context {
	if s == nil {
		return ctx
	}
	return context.WithValue(ctx, key{}, s)
}

// FromContext is the span that the context has; nil where it has none.
func FromContext(ctx context.Context) *Span {
	s, _ := ctx.Value(key{}).(*Span)
	return s
}
