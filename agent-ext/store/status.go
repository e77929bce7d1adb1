// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"

	"github.com/kata-tes/kata-tes/agentproto"
)

// State of a store.
type State int

// States, as in the proto.
const (
	Absent State = iota
	Preparing
	Prepared
	Failed
)

// errReleasing is why a store that is being released cannot be used.
var errReleasing = errors.New("the store is being released")

// Status says what the store is like. ready is for Prepared, reason for Failed.
func (s *Store) Status() (state State, marker agentproto.Marker, ready *Ready, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.current
	switch {
	case a == nil:
		return Absent, "", nil, nil
	case !a.finished():
		return Preparing, a.marker, nil, nil
	case a.releasing != nil:
		return Failed, a.marker, nil, errReleasing
	case a.dirty != nil:
		return Failed, a.marker, nil, a.dirty
	}
	return Prepared, a.marker, a.ready, nil
}

// Profile is the name of what the measured configuration makes of a disk.
func (s *Store) Profile() string { return s.profile }
