// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp/qmptest"
)

// attachCommands are what Attach sends, in order.
var attachCommands = []string{
	"qmp_capabilities", "qom-list", "query-named-block-nodes", "query-fdsets",
	"add-fd", "blockdev-add", "remove-fd", "device_add",
}

// Whatever gets lost during an attach: it fails, nothing is left, a retry works.
func TestAttachWithALostAnswer(t *testing.T) {
	for _, kind := range []qmptest.Kind{qmptest.LoseCommand, qmptest.LoseAnswer, qmptest.HangUp, qmptest.Late} {
		for _, command := range attachCommands {
			t.Run(string(kind)+"/"+command, func(t *testing.T) {
				v, d := startVM(t, scsi...), newDisk(t)
				f := qmptest.NewFault(command, 1, kind)
				v.through(t, f)
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				err := d.attach(ctx, t, v.Sandbox, newMarker())
				require.True(t, f.Happened())
				require.Error(t, err)
				require.NotErrorIs(t, err, ErrLeftover)
				if kind != qmptest.HangUp {
					require.ErrorIs(t, err, context.DeadlineExceeded)
				}
				requireGone(t, v, d)
				require.NoError(t, d.attach(t.Context(), t, v.Sandbox, newMarker()), "a retry")
			})
		}
	}
}

// QEMU refuses one command and goes on.
func TestAttachRefused(t *testing.T) {
	for _, command := range attachCommands {
		t.Run(command, func(t *testing.T) {
			v, d := startVM(t, scsi...), newDisk(t)
			f := qmptest.NewFault(command, 1, qmptest.Refuse)
			p := v.through(t, f)
			err := d.attach(t.Context(), t, v.Sandbox, newMarker())
			require.True(t, f.Happened())
			if command == "blockdev-add" {
				require.NoError(t, err, "threads in place of Linux AIO")
				require.Equal(t, []string{"blockdev-add", "blockdev-add"}, only(p.Seen(), "blockdev-add"))
				return
			}
			require.ErrorContains(t, err, command+": "+qmptest.Refusal)
			require.NotErrorIs(t, err, ErrLeftover)
			requireGone(t, v, d)
			require.NoError(t, d.attach(t.Context(), t, v.Sandbox, newMarker()), "a retry")
		})
	}
}

func only(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n != name })
}

// An undo that loses its connection dials again.
func TestUndoWithALostAnswer(t *testing.T) {
	for _, command := range []string{"qmp_capabilities", "qom-list", "device_del", "blockdev-del", "query-fdsets"} {
		t.Run(command, func(t *testing.T) {
			v, d := startVM(t, scsi...), newDisk(t)
			marker := newMarker()
			require.NoError(t, d.attach(t.Context(), t, v.Sandbox, marker))
			f := qmptest.NewFault(command, 1, qmptest.HangUp)
			v.through(t, f)
			err := v.Detach(t.Context(), marker)
			require.True(t, f.Happened())
			if command == "qmp_capabilities" {
				require.Error(t, err, "no connection at all")
				require.NoError(t, v.Detach(t.Context(), marker))
			} else {
				require.NoError(t, err)
			}
			requireGone(t, v, d)
		})
	}
}

// A QEMU that hangs in the middle of an attach leaves something behind. Attach
// says so in bounded time, and Detach brings it in order once QEMU is back.
func TestQEMUHangsDuringAttach(t *testing.T) {
	for _, command := range []string{"add-fd", "blockdev-add", "device_add"} {
		t.Run(command, func(t *testing.T) {
			v, d := startVM(t, scsi...), newDisk(t)
			f := qmptest.NewFault(command, 1, qmptest.LoseAnswer)
			f.Do = v.stopper()
			v.through(t, f)
			v.undoTimeout = 200 * time.Millisecond
			marker := newMarker()
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			begin := time.Now()
			err := d.attach(ctx, t, v.Sandbox, marker)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, ErrLeftover)
			require.Less(t, time.Since(begin), 3*time.Second)

			v.signal(t, syscall.SIGCONT)
			require.NoError(t, v.Detach(t.Context(), marker))
			requireGone(t, v, d)
			require.NoError(t, d.attach(t.Context(), t, v.Sandbox, newMarker()), "a retry")
		})
	}
}

// The caller's context ends between two commands.
func TestCancelledAttachIsUndone(t *testing.T) {
	v, d := startVM(t, scsi...), newDisk(t)
	ctx, cancel := context.WithCancel(t.Context())
	f := qmptest.NewFault("device_add", 1, qmptest.LoseAnswer)
	f.Do = cancel
	v.through(t, f)
	err := d.attach(ctx, t, v.Sandbox, newMarker())
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrLeftover)
	requireGone(t, v, d)
}
