// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"time"

	"github.com/kata-tes/kata-tes/shim/hostdev"
	"github.com/kata-tes/kata-tes/shim/ocispec"
	"github.com/kata-tes/kata-tes/shim/report"
	"github.com/kata-tes/kata-tes/shim/store"
)

// askTimeout is how long the guest has to say what its store is like. Shorter
// than what the asking person's tool waits for us: the rest is told in any case.
const askTimeout = 2 * time.Second

// Report tells an operator what became of the sandbox's store. No Create waits
// for it.
func (i *Interceptor) Report(ctx context.Context) report.Sandbox {
	now := i.store.Status()
	told := report.Sandbox{Store: report.Store{
		State:  string(now.State),
		Since:  now.Since,
		Marker: string(now.Marker),
		Step:   now.Step,
	}}
	if pod := i.pod.Load(); pod != nil {
		told.Namespace, told.Pod = pod.Namespace, pod.Name
	}
	if now.Device != (hostdev.Number{}) {
		told.Store.Device = now.Device.String()
	}
	if now.Reason != nil {
		told.Store.Reason = printable(now.Reason.Error())
	}
	if now.State == store.Ready {
		told.Store.Guest = askGuest(ctx, now)
	}
	return told
}

func askGuest(ctx context.Context, now store.Status) *report.Guest {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := now.AskGuest(ctx)
	told := &report.Guest{
		Profile:   answer.GetProfile(),
		SizeBytes: answer.GetSizeBytes(),
		UsedBytes: answer.GetUsedBytes(),
	}
	if err != nil {
		told.Problem = printable(err.Error())
	}
	return told
}

// notePod remembers the pod's name, which each of its containers has.
func (i *Interceptor) notePod(spec *ocispec.Spec) {
	if i.pod.Load() != nil {
		return
	}
	if pod := spec.Pod(); pod.Name != "" {
		i.pod.Store(&pod)
	}
}
