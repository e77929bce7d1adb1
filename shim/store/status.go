// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/shim/hostdev"
)

// State is how far a store is.
type State string

// The states, in the words in which an operator reads them.
const (
	// None: nobody has asked for the store.
	None State = "none"
	// Preparing: an attempt runs, its undo included.
	Preparing State = "preparing"
	// Ready: images go onto the store.
	Ready State = "ready"
	// Failed: somebody asked, and did not get it. A retry may.
	Failed State = "failed"
)

// Status is what a store is like at one moment.
type Status struct {
	State State
	// Since is when the store came into that state.
	Since time.Time
	// Device is the host's; zero where none was claimed yet.
	Device hostdev.Number
	// Marker is that of the attempt which runs or was the last one; empty where
	// no disk was attached.
	Marker agentproto.Marker
	// Step is what Preparing is at.
	Step string
	// Reason is that of Failed.
	Reason error

	guest Guest
}

// Status looks, and waits for nothing and nobody: it takes the lock for as long
// as copying takes.
func (s *Store) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := Status{State: None, Since: s.since, Device: s.device, Marker: s.marker}
	switch {
	case s.running != nil:
		now.State = Preparing
		now.Step, now.Marker = s.running.look()
	case s.ready:
		now.State, now.guest = Ready, s.guest
	case s.refused != nil:
		now.State, now.Reason = Failed, s.refused
	}
	return now
}

// AskGuest asks the guest what it has made of a store that is Ready; nil where
// the state is another one, of which the guest has nothing to say. It touches
// neither the virtual machine's monitor nor anything that an attempt needs, so
// that no Create waits for it. The end of ctx ends it.
func (n Status) AskGuest(ctx context.Context) (*agentv1.StatusResponse, error) {
	if n.guest == nil {
		return nil, nil //nolint:nilnil // nothing to ask is no mistake
	}
	answer, err := n.guest.Status(ctx, &agentv1.StatusRequest{Store: agentproto.ImageStore})
	if err != nil {
		return nil, explainAnswer("asking for the store's status", err)
	}
	if answer.GetState() != agentv1.State_STATE_READY || answer.GetMarker() != string(n.Marker) {
		return answer, fmt.Errorf("%w: it says %s of marker %.40q (%.200q)", ErrDisagrees, answer.GetState(), answer.GetMarker(), answer.GetReason())
	}
	return answer, nil
}
