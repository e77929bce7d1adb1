// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/shim/hostdev"
	"github.com/kata-tes/kata-tes/shim/metrics"
	"github.com/kata-tes/kata-tes/shim/trace"
)

// attempt is one preparation.
type attempt struct {
	device hostdev.Number
	log    *logrus.Entry
	counts *metrics.Node
	// span is below the Create that began it.
	span  *trace.Span
	began time.Time
	// done is closed when err is final.
	done chan struct{}
	err  error

	// What the steps find out, for the steps after them.
	vm     VM
	guest  Guest
	marker agentproto.Marker
	// size is the device's, in bytes.
	size int64

	mu   sync.Mutex
	step string
	// told is the marker for those who look at an attempt that runs.
	told agentproto.Marker
}

// mark gives the attempt its marker.
func (a *attempt) mark(m agentproto.Marker) {
	a.marker = m
	a.log = a.log.WithField("marker", m)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = m
}

// look says how far an attempt that runs has come.
func (a *attempt) look() (step string, marker agentproto.Marker) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.step, a.told
}

// enter notes which step runs.
func (a *attempt) enter(step string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.step = step
}

// progress tells a person how far it is.
func (a *attempt) progress() string {
	step, _ := a.look()
	return fmt.Sprintf("step %q, after %s", step, time.Since(a.began).Round(100*time.Millisecond))
}

// run does one step of the attempt within a limit, logs, measures and traces it. key is
// the limit's name in the configuration.
func (a *attempt) run(life context.Context, step, key string, limit time.Duration, do func(ctx context.Context) error) error {
	a.enter(step)
	ctx, cancel := context.WithTimeout(life, limit)
	defer cancel()
	span, began := a.span.Child(step), time.Now()
	err := do(trace.NewContext(ctx, span))
	took := time.Since(began)
	span.End(err)
	log := a.log.WithFields(logrus.Fields{"step": step, "took": took.Round(time.Microsecond)})
	if err == nil {
		a.counts.Observe(metrics.StepDuration, step, took)
		log.Info("a step of the trusted store is done")
		return nil
	}
	log.WithError(err).Warn("a step of the trusted store failed")
	switch {
	case life.Err() != nil:
		return fmt.Errorf("%w: %w", context.Cause(life), err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &TimeoutError{Step: step, Key: key, Limit: limit, Err: err}
	}
	return err
}
