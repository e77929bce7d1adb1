// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"

	"github.com/kata-tes/kata-tes/shim/metrics"
	"github.com/kata-tes/kata-tes/shim/trace"
)

// maxGuestSteps and maxStepName bound what a guest can put into our log and
// traces by its steps: the proto lists 7, with names of a few letters.
const (
	maxGuestSteps = 32
	maxStepName   = 40
)

// guestSteps are what the guest says of its steps, within bounds: so many of
// them, names of so many characters, and all of them together no longer than the
// call took.
func guestSteps(said []*agentv1.Step, call time.Duration) []trace.Step {
	said = said[:min(len(said), maxGuestSteps)]
	steps := make([]trace.Step, 0, len(said))
	for _, step := range said {
		steps = append(steps, trace.Step{Name: fmt.Sprintf("%.*s", maxStepName, step.GetName()), Took: step.GetTook().AsDuration()})
	}
	steps, _ = trace.Within(steps, call)
	return steps
}

// noteGuestSteps logs, measures and traces what the guest did in its call, which
// took so long and ended with err.
func (a *attempt) noteGuestSteps(ctx context.Context, said []*agentv1.Step, call time.Duration, err error) {
	steps := guestSteps(said, call)
	trace.FromContext(ctx).Guest("kata-tes-agent Prepare", steps, err)
	if err != nil {
		return
	}
	for _, step := range steps {
		a.log.WithField("step", "guest: "+step.Name).WithField("took", step.Took).Info("a step of the trusted store is done")
		a.counts.Observe(metrics.GuestStepDuration, step.Name, step.Took)
	}
}

// noteGuestFailure does so where the guest refused. One that didn't answer has
// said nothing.
func (a *attempt) noteGuestFailure(ctx context.Context, call time.Duration, err error) {
	var refused *GuestError
	if errors.As(err, &refused) {
		a.noteGuestSteps(ctx, refused.Steps, call, err)
	}
}
