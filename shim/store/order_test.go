// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/hostdev"
	"github.com/kata-tes/kata-tes/shim/metrics"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

func container(name string, devices ...hostdev.Number) Container {
	return Container{ID: "id-" + name, Name: name, Devices: devices}
}

// late are the lines about a store that was asked for late.
func late(entries []*logrus.Entry) []*logrus.Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e *logrus.Entry) bool {
		return !strings.Contains(e.Message, "asked for late")
	})
}

func TestOrder(t *testing.T) {
	admit := func(name string, devices ...hostdev.Number) func(s *Store) error {
		return func(s *Store) error { return s.Admit(container(name, devices...)) }
	}
	ask := func(s *Store) error { return s.Ensure(context.Background(), disk, "sidecar") }
	malformed := errors.New("two entries")
	askBadly := func(s *Store) error {
		s.Refuse("sidecar", malformed)
		return malformed
	}
	type step struct {
		do  func(s *Store) error
		err error
	}
	for name, test := range map[string]struct {
		steps []step
		// before are the containers that count.
		before []string
		// unasked: nobody asks for the store.
		unasked bool
		// refused: what the steps' errors are with late_store = "refuse", where
		// they differ.
		refused map[int]error
	}{
		"the store first": {steps: []step{{ask, nil}, {admit("app"), nil}, {admit("app"), nil}, {ask, nil}}},
		"no store":        {steps: []step{{admit("app"), nil}, {admit("app"), nil}}, before: []string{"app"}, unasked: true},
		"asked for in vain only": {
			steps:  []step{{admit("app"), nil}, {askBadly, malformed}, {admit("second"), ErrNotReady}},
			before: []string{"app"},
		},
		"the application first": {
			steps:   []step{{admit("app"), nil}, {ask, nil}, {admit("late-app"), nil}, {ask, nil}},
			before:  []string{"app"},
			refused: map[int]error{1: ErrLate, 2: ErrNotReady, 3: ErrLate},
		},
		"an application that restarts counts once": {
			steps:   []step{{admit("app"), nil}, {admit("app"), nil}, {admit("init"), nil}, {ask, nil}},
			before:  []string{"app", "init"},
			refused: map[int]error{3: ErrLate},
		},
		"who was refused does not count": {
			steps: []step{{askBadly, malformed}, {admit("app"), ErrNotReady}, {ask, nil}, {admit("app"), nil}, {ask, nil}},
		},
		"asked for in vain, late": {
			steps:   []step{{admit("app"), nil}, {askBadly, malformed}, {admit("second"), ErrNotReady}, {ask, nil}, {admit("second"), nil}},
			before:  []string{"app"},
			refused: map[int]error{3: ErrLate, 4: ErrNotReady},
		},
		"with another disk": {
			steps:   []step{{admit("app", other), nil}, {ask, nil}},
			before:  []string{"app"},
			refused: map[int]error{1: ErrLate},
		},
		"with the store's disk": {
			steps:  []step{{admit("app", other, disk), nil}, {ask, ErrShared}, {admit("second"), ErrNotReady}, {ask, ErrShared}},
			before: []string{"app"},
		},
	} {
		for _, answer := range []config.LateStore{config.LateWarn, config.LateRefuse} {
			t.Run(fmt.Sprintf("%s, %s", name, answer), func(t *testing.T) {
				s, r, hook := newStore(t)
				s.LateStore = answer
				for i, step := range test.steps {
					want := step.err
					if refused := test.refused[i]; refused != nil && answer == config.LateRefuse {
						want = refused
					}
					require.ErrorIs(t, step.do(s), want, "step %d", i)
				}
				require.NoError(t, s.Close())
				lines := late(hook.AllEntries())
				require.Equal(t, test.before, s.before.names)
				if len(test.before) == 0 || test.unasked {
					require.Empty(t, lines)
					return
				}
				require.Len(t, lines, 1, "said once, not at each retry")
				require.Equal(t, logrus.WarnLevel, lines[0].Level)
				require.Equal(t, test.before, lines[0].Data["before"])
				require.Equal(t, answer, lines[0].Data["late_store"])
				require.Equal(t, "sandbox", lines[0].Data["sandbox"])
				require.Equal(t, "sidecar", lines[0].Data["container"])
				require.Contains(t, lines[0].Message, "native sidecar")
				if answer == config.LateRefuse {
					require.NotContains(t, r.took(), "open", "a store that is refused touches nothing")
				}
			})
		}
	}
}

func TestLateSays(t *testing.T) {
	var f forerunners
	require.Empty(t, f.String())
	f.add(container("app"))
	require.Equal(t, `container "app" was created before the one with the trusted store, and its image is in the guest's memory; `+reorder, f.String())
	f.add(container("init\n\x1b"))
	require.Contains(t, f.String(), `containers "app" and "init\n\x1b" were created before`)
	for i := range 20 {
		f.add(container(fmt.Sprint("c", i)))
	}
	require.Contains(t, f.String(), `"c4", "c5" and 14 more were created`)
	require.Less(t, len(f.String()), 2000)
}

// TestApplicationAndSidecarAtOnce: whichever comes first, an application that
// is let through is known, and one that is not known is not let through.
func TestApplicationAndSidecarAtOnce(t *testing.T) {
	for range 200 {
		s, r, _ := newStore(t)
		open := make(chan struct{})
		r.answer("prepare", func(context.Context) error { <-open; return nil })
		const applications = 8
		errs := make([]error, applications)
		var creating sync.WaitGroup
		for i := range applications {
			creating.Go(func() { errs[i] = s.Admit(container(fmt.Sprint(i), other)) })
		}
		asked := make(chan error, 1)
		go func() { asked <- s.Ensure(context.Background(), disk, "sidecar") }()
		creating.Wait()
		close(open)
		require.NoError(t, <-asked)
		for i, err := range errs {
			if err != nil {
				require.ErrorIs(t, err, ErrNotReady)
			}
			require.Equal(t, err == nil, slices.Contains(s.before.names, fmt.Sprint(i)), "container %d: %v, known are %q", i, err, s.before.names)
		}
		require.NoError(t, s.Close())
	}
}

// What the guest says about images that are there already is completed by who
// brought them; all other refusals keep their remedy.
func TestGuestRefusesALateStore(t *testing.T) {
	occupied, err := status.New(codes.FailedPrecondition, "/run/image contains \"layers\"").
		WithDetails(&agentv1.Refusal{Reason: agentv1.Reason_REASON_MOUNT_POINT_OCCUPIED})
	require.NoError(t, err)
	later, err := status.New(codes.FailedPrecondition, "a reason of a later release").WithDetails(&agentv1.Refusal{Reason: 99})
	require.NoError(t, err)
	unfit := status.New(codes.FailedPrecondition, "the disk has partitions")
	broken := status.New(codes.Internal, "mkfs failed")
	const whose, another = `container "app" was created before`, "on another volume"
	for name, test := range map[string]struct {
		before   []string
		says     *status.Status
		has, not []string
	}{
		"occupied, late":     {[]string{"app"}, occupied, []string{"layers", whose, reorder}, []string{another}},
		"occupied, in order": {nil, occupied, []string{"layers", "delete the pod"}, []string{whose, reorder, another}},
		"unfit, late":        {[]string{"app"}, unfit, []string{"partitions", another, whose}, nil},
		"unknown, in order":  {nil, later, []string{"later release", another}, []string{whose}},
		"unfit, in order":    {nil, unfit, []string{"partitions", another}, []string{whose}},
		"broken, late":       {[]string{"app"}, broken, []string{"mkfs failed", "journal"}, []string{whose}},
	} {
		t.Run(name, func(t *testing.T) {
			s, r, _ := newStore(t)
			for _, name := range test.before {
				require.NoError(t, s.Admit(container(name)))
			}
			r.answer("prepare", failing(test.says.Err()))
			err := s.Ensure(t.Context(), disk, "sidecar")
			require.Equal(t, []string{"open", "find", "version", "attach", "prepare", "release", "detach"}, r.took())
			for _, words := range test.has {
				require.ErrorContains(t, err, words)
				require.ErrorContains(t, s.Admit(container("second")), words, "the pod's other containers say why")
			}
			for _, words := range test.not {
				require.NotContains(t, err.Error(), words)
			}
			require.NoError(t, s.Close())
		})
	}
}

func TestCounted(t *testing.T) {
	root := filepath.Join(t.TempDir(), "run")
	for _, answer := range []config.LateStore{config.LateWarn, config.LateRefuse} {
		s, _, _ := newStore(t)
		s.LateStore = answer
		s.Metrics = metrics.Open(root, s.Log)
		require.NoError(t, s.Admit(container("app")))
		_ = s.Ensure(t.Context(), disk, "c1")
		_ = s.Ensure(t.Context(), disk, "c2")
		require.NoError(t, s.Close())
		s.Metrics.Close()
	}
	text, err := os.ReadFile(filepath.Join(rundir.MetricsPath(root), metrics.FileName))
	require.NoError(t, err)
	require.Contains(t, string(text), "\nkata_tes_stores_prepared_total 1\n")
	require.Contains(t, string(text), "\nkata_tes_late_stores_total{action=\"refuse\"} 1\nkata_tes_late_stores_total{action=\"warn\"} 1\n")
}
