// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"

	"github.com/kata-tes/kata-tes/agentproto"
)

// counters let the guest answer with what the disk's counters are after so much
// time.
func (r *recorder) counters(at func(since time.Duration) (waiting, answered uint64)) {
	began := time.Now()
	r.status = func(_ context.Context, request *agentv1.StatusRequest) (*agentv1.StatusResponse, error) {
		if request.GetStore() != agentproto.ImageStore {
			return nil, errors.New("another store")
		}
		waiting, answered := at(time.Since(began))
		return &agentv1.StatusResponse{DiskRequestsWaiting: waiting, DiskRequestsAnswered: answered}, nil
	}
}

func hung(time.Duration) (waiting, answered uint64) { return 3, 100 }

// watched runs a test, in time of its own, with a store that is ready.
func watched(t *testing.T, do func(t *testing.T, s *Store, r *recorder, log *logtest.Hook)) {
	synctest.Test(t, func(t *testing.T) {
		s, r, log := newStore(t)
		require.NoError(t, s.Ensure(t.Context(), disk, "c1"))
		r.took()
		do(t, s, r, log)
		require.NoError(t, s.Close())
	})
}

func TestADiskThatHangsEndsTheMachine(t *testing.T) {
	watched(t, func(t *testing.T, s *Store, r *recorder, log *logtest.Hook) {
		r.counters(hung)
		began, ended := time.Now(), make(chan time.Time, 1)
		r.answer("end", func(ctx context.Context) error {
			require.NoError(t, ctx.Err())
			ended <- time.Now()
			return errors.New("the process does not end")
		})
		for range 3 {
			s.Killed() // of each of the pod's containers
		}
		require.Equal(t, limits.HungDisk, (<-ended).Sub(began))
		synctest.Wait()
		require.Equal(t, []string{"end"}, r.took())
		require.Equal(t, "ending the virtual machine; its process stays until the disk answers", log.LastEntry().Message)
	})
}

// Whatever else the disk and the guest do, the machine is Kata's affair.
func TestTheMachineStays(t *testing.T) {
	for name, at := range map[string]func(time.Duration) (uint64, uint64){
		"nothing to do":       func(time.Duration) (uint64, uint64) { return 0, 100 },
		"slow":                func(d time.Duration) (uint64, uint64) { return 3, 100 + uint64(d/(16*time.Second)) },
		"answers at the end":  func(d time.Duration) (uint64, uint64) { return 3, 100 + uint64(d/limits.HungDisk) },
		"all answered at end": func(d time.Duration) (uint64, uint64) { return 3 * (1 - uint64(d/limits.HungDisk)), 100 },
	} {
		t.Run(name, func(t *testing.T) {
			watched(t, func(t *testing.T, s *Store, r *recorder, _ *logtest.Hook) {
				r.counters(at)
				s.Killed()
				time.Sleep(2 * limits.HungDisk)
				require.Empty(t, r.took())
			})
		})
	}
}

func TestAGuestThatDoesNotAnswerIsNoProof(t *testing.T) {
	watched(t, func(t *testing.T, s *Store, r *recorder, log *logtest.Hook) {
		r.status = func(ctx context.Context, _ *agentv1.StatusRequest) (*agentv1.StatusResponse, error) {
			return nil, hang(ctx)
		}
		s.Killed()
		time.Sleep(2 * limits.HungDisk)
		require.Empty(t, r.took())
		require.Contains(t, log.LastEntry().Message, "is unknown")

		// It is looked at again with the kubelet's next attempt.
		r.counters(hung)
		s.Killed()
		time.Sleep(2 * limits.HungDisk)
		require.Equal(t, []string{"end"}, r.took())
	})
}

func TestKilledWithoutAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, r, _ := newStore(t)
		r.counters(hung)
		s.Killed()
		r.answer("prepare", failing(errors.New("no")))
		require.Error(t, s.Ensure(t.Context(), disk, "c1"))
		r.took()
		s.Killed()
		time.Sleep(2 * limits.HungDisk)
		require.Empty(t, r.took())
		require.NoError(t, s.Close())
	})
}

// The end of the sandbox does not wait for the look.
func TestCloseEndsTheLook(t *testing.T) {
	watched(t, func(t *testing.T, s *Store, r *recorder, _ *logtest.Hook) {
		r.counters(hung)
		s.Killed()
		synctest.Wait()
		began := time.Now()
		require.NoError(t, s.Close())
		require.Zero(t, time.Since(began))
		s.Killed()
		time.Sleep(2 * limits.HungDisk)
		require.Empty(t, r.took())
	})
}
