// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/shim/hostdev"
)

// What Status says at each stage of a store's life: a failure, a retry that
// hangs for a while, and success.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r, _ := newStore(t)
		began := time.Now()
		require.Equal(t, Status{State: None, Since: began}, s.Status())

		time.Sleep(time.Second)
		broken := errors.New("broken")
		r.answer("attach", failing(broken))
		require.Error(t, s.Ensure(t.Context(), disk, "c1"))
		failed := s.Status()
		require.Equal(t, Failed, failed.State)
		require.ErrorIs(t, failed.Reason, broken)
		require.Equal(t, disk, failed.Device)
		require.Equal(t, r.markers[0], string(failed.Marker))
		require.Equal(t, began.Add(time.Second), failed.Since)

		r.answer("attach", nil)
		let := make(chan struct{})
		r.answer("prepare", func(context.Context) error { <-let; return nil })
		done := make(chan error)
		go func() { done <- s.Ensure(context.WithoutCancel(t.Context()), disk, "c1") }()
		synctest.Wait()
		preparing := s.Status()
		require.Equal(t, Preparing, preparing.State)
		require.Equal(t, "prepare", preparing.Step)
		require.Equal(t, r.markers[len(r.markers)-1], string(preparing.Marker))
		require.NoError(t, preparing.Reason)
		answer, err := preparing.AskGuest(t.Context())
		require.NoError(t, err)
		require.Nil(t, answer, "the guest isn't asked about a store that it works on")

		time.Sleep(time.Minute)
		close(let)
		require.NoError(t, <-done)
		ready := s.Status()
		require.Equal(t, Ready, ready.State)
		require.Equal(t, preparing.Marker, ready.Marker)
		require.Equal(t, preparing.Since.Add(time.Minute), ready.Since)
		require.Empty(t, ready.Step)
		require.NoError(t, s.Close())
	})
}

// A request that makes no sense is a reason, too, and is about no device.
func TestStatusOfARefusal(t *testing.T) {
	s, _, _ := newStore(t)
	twice := errors.New("two entries")
	s.Refuse("c1", twice)
	now := s.Status()
	require.Equal(t, Failed, now.State)
	require.Equal(t, twice, now.Reason)
	require.Equal(t, hostdev.Number{}, now.Device)
	require.Empty(t, now.Marker)
	require.NoError(t, s.Close())
}

// guestSays is a guest whose Status is given.
type guestSays struct {
	Guest
	answer *agentv1.StatusResponse
	err    error
}

func (g guestSays) Status(context.Context, *agentv1.StatusRequest) (*agentv1.StatusResponse, error) {
	return g.answer, g.err
}

// A guest is believed only where it speaks of the same store.
func TestAskGuest(t *testing.T) {
	marker := agentproto.NewMarker()
	for name, test := range map[string]struct {
		answer *agentv1.StatusResponse
		err    error
		want   error
	}{
		"ready":        {answer: &agentv1.StatusResponse{State: agentv1.State_STATE_READY, Marker: string(marker), Profile: "integrity"}},
		"other marker": {answer: &agentv1.StatusResponse{State: agentv1.State_STATE_READY, Marker: "tes-0"}, want: ErrDisagrees},
		"failed":       {answer: &agentv1.StatusResponse{State: agentv1.State_STATE_FAILED, Marker: string(marker)}, want: ErrDisagrees},
		"absent":       {answer: &agentv1.StatusResponse{State: agentv1.State_STATE_ABSENT}, want: ErrDisagrees},
		"silent":       {err: context.DeadlineExceeded, want: ErrNoAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			now := Status{State: Ready, Marker: marker, guest: guestSays{answer: test.answer, err: test.err}}
			answer, err := now.AskGuest(t.Context())
			require.ErrorIs(t, err, test.want)
			require.Equal(t, test.answer, answer)
		})
	}
}
