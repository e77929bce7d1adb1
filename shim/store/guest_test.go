// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/shim/trace"
)

func TestCheckVersion(t *testing.T) {
	require.NoError(t, checkVersion(&agentv1.VersionResponse{Protocol: agentproto.ProtocolVersion}))
	for _, protocol := range []uint32{0, agentproto.ProtocolVersion + 1} {
		err := checkVersion(&agentv1.VersionResponse{Protocol: protocol, Agent: "0.9"})
		require.ErrorIs(t, err, ErrProtocol)
		require.ErrorContains(t, err, `"0.9"`)
	}
}

// Each way of not answering has its own sentence.
func TestExplainSilence(t *testing.T) {
	for _, test := range []struct {
		err, want error
		words     string
	}{
		{fmt.Errorf("%w: connection refused", ErrNoAgent), ErrNoAgent, "use a guest image with kata-tes-agent"},
		{context.DeadlineExceeded, ErrNoAnswer, "virtio-vsock"},
		{errors.New("no such device"), ErrNoAnswer, "no such device"},
		{status.Error(codes.Unimplemented, "service katates"), ErrProtocol, "does not know the trusted store"},
	} {
		err := explainSilence(test.err)
		require.ErrorIs(t, err, test.want)
		require.ErrorContains(t, err, test.words)
	}
	var guest *GuestError
	require.ErrorAs(t, explainSilence(status.Error(codes.Internal, "panic")), &guest)
	require.Equal(t, "panic", guest.Message)
}

func TestExplainAnswer(t *testing.T) {
	err := explainAnswer("preparing the store", status.Error(codes.FailedPrecondition, "the disk has partitions"))
	require.EqualError(t, err, "preparing the store in the guest: the disk has partitions; if this is about the disk and a retry does not help, delete the pod and create it again on another volume")
	err = explainAnswer("preparing the store", errors.New("ttrpc: closed"))
	require.ErrorIs(t, err, ErrNoAnswer)
	require.ErrorContains(t, err, "ttrpc: closed")
}

// A guest decides how many steps it says, but not how many we log.
func TestGuestStepsAreBounded(t *testing.T) {
	log, hook := logtest.NewNullLogger()
	a := &attempt{log: logrus.NewEntry(log)}
	steps := []*agentv1.Step{nil, {Name: strings.Repeat("é", 1<<20)}}
	for range 1000 {
		steps = append(steps, &agentv1.Step{Name: "mkfs"})
	}
	a.noteGuestSteps(t.Context(), steps, time.Second, nil)
	require.Len(t, hook.AllEntries(), maxGuestSteps)
	require.Equal(t, "guest: "+strings.Repeat("é", maxStepName), hook.AllEntries()[1].Data["step"])
	require.Equal(t, "guest: mkfs", hook.LastEntry().Data["step"])
}

// Nor how long they took: not longer than the call, nor less than nothing.
func TestGuestStepsFitTheCall(t *testing.T) {
	said := []*agentv1.Step{
		{Name: "find", Took: durationpb.New(-time.Hour)},
		{Name: "format", Took: durationpb.New(600 * time.Millisecond)},
		{Name: "open", Took: durationpb.New(300 * time.Hour)},
		{Name: "mkfs", Took: &durationpb.Duration{Seconds: math.MaxInt64, Nanos: math.MaxInt32}},
	}
	require.Equal(t, []trace.Step{
		{Name: "find"},
		{Name: "format", Took: 600 * time.Millisecond},
		{Name: "open", Took: 400 * time.Millisecond},
		{Name: "mkfs"},
	}, guestSteps(said, time.Second))
}

func FuzzGuestSteps(f *testing.F) {
	f.Add("mkfs", int64(1), int32(5), uint8(3), int64(time.Second))
	f.Add("\xff", int64(math.MinInt64), int32(math.MinInt32), uint8(200), int64(0))
	f.Fuzz(func(t *testing.T, name string, seconds int64, nanos int32, many uint8, call int64) {
		if call < 0 {
			return // our own clock
		}
		var said []*agentv1.Step
		for range many {
			said = append(said, &agentv1.Step{Name: name, Took: &durationpb.Duration{Seconds: seconds, Nanos: nanos}})
		}
		steps := guestSteps(said, time.Duration(call))
		require.LessOrEqual(t, len(steps), maxGuestSteps)
		var all time.Duration
		for _, step := range steps {
			require.GreaterOrEqual(t, step.Took, time.Duration(0))
			require.LessOrEqual(t, len([]rune(step.Name)), maxStepName)
			all += step.Took
		}
		require.LessOrEqual(t, all, time.Duration(call))
	})
}

// A guest decides what it says, but not how much of it we keep.
func TestGuestMessageIsBounded(t *testing.T) {
	err := explainAnswer("preparing the store", status.Error(codes.Internal, strings.Repeat("é", 1<<20)))
	require.Less(t, len(err.Error()), 2*maxGuestMessage+1000)
	require.ErrorContains(t, err, "ééé")
}
