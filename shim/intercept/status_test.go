// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kata-tes/kata-tes/shim/hostdev"
	"github.com/kata-tes/kata-tes/shim/metrics"
	"github.com/kata-tes/kata-tes/shim/ocispec"
	"github.com/kata-tes/kata-tes/shim/store"
	vcext "github.com/kata-tes/kata-tes/virtcontainers-ext"
)

// TestEveryReasonIsCountedFromTheStart: the first event of a reason is an
// increase of its counter, and no reason is listed that nothing has.
func TestEveryReasonIsCountedFromTheStart(t *testing.T) {
	words := map[string]bool{"internal": true}
	for _, m := range meanings {
		words[m.reason] = true
	}
	for _, word := range guestReasons {
		words["guest_"+word] = true
	}
	for _, d := range metrics.Describe() {
		if d.Name == "kata_tes_stores_refused_total" {
			require.ElementsMatch(t, slices.Collect(maps.Keys(words)), d.Values)
			return
		}
	}
	t.Fatal("refusals are not counted")
}

func TestToStatus(t *testing.T) {
	for _, test := range []struct {
		err  error
		code codes.Code
	}{
		{errors.New("anything else"), codes.Internal},
		{ocispec.ErrTwice, codes.InvalidArgument},
		{ocispec.ErrNotExact, codes.Internal},
		{hostdev.ErrInUse, codes.FailedPrecondition},
		{vcext.ErrNoController, codes.FailedPrecondition},
		// The reason why the store isn't ready doesn't make the app's Create
		// time out or be malformed.
		{fmt.Errorf("%w: %w", store.ErrNotReady, context.DeadlineExceeded), codes.FailedPrecondition},
		{fmt.Errorf("%w: %w", store.ErrNotReady, ocispec.ErrTwice), codes.FailedPrecondition},
		{fmt.Errorf("%w: %w", store.ErrPreparing, context.DeadlineExceeded), codes.DeadlineExceeded},
		{fmt.Errorf("%w: %w", store.ErrPreparing, context.Canceled), codes.Canceled},
		{&store.TimeoutError{Step: "attach", Limit: time.Second, Err: vcext.ErrGuestHolds}, codes.DeadlineExceeded},
		{&store.GuestError{Code: codes.DataLoss}, codes.DataLoss},
		{&store.GuestError{Code: codes.DeadlineExceeded}, codes.DeadlineExceeded},
		// What a guest must not make containerd believe.
		{&store.GuestError{Code: codes.OK}, codes.Internal},
		{&store.GuestError{Code: codes.Unimplemented}, codes.Internal},
		{&store.GuestError{Code: codes.Unauthenticated}, codes.Internal},
		{&store.GuestError{Code: 4711}, codes.Internal},
	} {
		got := status.Convert(toStatus(fmt.Errorf("creating: %w", test.err)))
		require.Equal(t, test.code, got.Code(), test.err)
		require.Contains(t, got.Message(), "creating: ")
	}
}

func TestMessageIsPrintable(t *testing.T) {
	err := errors.Join(errors.New("one\r\ntwo"), errors.New("\x1b[31mred\x00 é\u202e"))
	require.Equal(t, "one; two;  [31mred  é ", status.Convert(toStatus(err)).Message())
}

func TestNewRefusesHalfAnOption(t *testing.T) {
	complete := Options{SandboxID: sandboxID, Settings: settings("/dev/x", unhurried), Log: logrus.NewEntry(logrus.New())}
	i, err := New(complete)
	require.NoError(t, err)
	require.NoError(t, i.Close())
	for _, lacking := range []func(o *Options){
		func(o *Options) { o.SandboxID = "" },
		func(o *Options) { o.Settings.DevicePath = "" },
		func(o *Options) { o.Log = nil },
	} {
		o := complete
		lacking(&o)
		_, err := New(o)
		require.Error(t, err)
	}
}
