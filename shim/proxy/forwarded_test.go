// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// countingHook refuses a container of the name "refused".
type countingHook struct {
	hookFunc
	forwarded atomic.Int32
}

func (h *countingHook) Create(_ context.Context, id, _ string) error {
	if id == "refused" {
		return status.Error(codes.FailedPrecondition, "not this one")
	}
	return nil
}

func (h *countingHook) Forwarded() { h.forwarded.Add(1) }

// The hook hears of what the inner shim gets, and of nothing else.
func TestForwardedCallsAreCounted(t *testing.T) {
	hook := &countingHook{}
	var created atomic.Int32
	r := newRigWith(t, hook, task(map[string]ttrpc.Method{"State": state, "Create": counted(&created)}))
	c := r.client()
	for range 5 {
		callState(t, c, "c")
	}
	require.NoError(t, create(t.Context(), c, "c"))
	require.EqualValues(t, 6, hook.forwarded.Load())
	require.Error(t, create(t.Context(), c, "refused"))
	require.EqualValues(t, 6, hook.forwarded.Load())
	callState(t, c, "c")
	require.EqualValues(t, 7, hook.forwarded.Load())
	require.EqualValues(t, 1, created.Load())
}
