// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"

	"github.com/kata-tes/kata-tes/agentproto"
)

// attempt is one preparation and what came of it. All fields but marker and
// done are under the store's lock; the undo belongs to whoever works: the
// preparation until done is closed, then a release.
type attempt struct {
	marker agentproto.Marker
	// waiting are the callers.
	waiting int
	// cancel ends the preparation, cancelled says that somebody did.
	cancel    context.CancelCauseFunc
	cancelled bool

	// done is closed when it has succeeded or has been undone.
	done  chan struct{}
	undo  undo
	ready *Ready
	// err says why it failed; dirty, why it could not be undone.
	err, dirty error

	// releasing is closed at the end of the release that runs; nil without one.
	releasing chan struct{}
}

func (a *attempt) finished() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// end cancels a preparation that has not finished.
func (a *attempt) end(cause error) {
	a.cancelled = true
	a.cancel(cause)
}
