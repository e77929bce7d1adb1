// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestAttachAndDetachSCSI(t *testing.T) {
	v, d := startVM(t, scsi...), newDisk(t)
	require.NoError(t, v.Detach(t.Context(), newMarker()), "what is not there")
	for range 3 {
		marker := newMarker()
		require.NoError(t, d.attach(t.Context(), t, v.Sandbox, marker))
		require.True(t, d.claimed(t), "QEMU holds the claim after we closed")
		list, err := v.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, []Attachment{{Marker: marker, Device: true, Node: true}}, list)
		for property, want := range map[string]any{"serial": marker, "scsi-id": 255.0, "lun": 255.0, "logical_block_size": 512.0} {
			var got any
			v.ask(t, "qom-get", map[string]string{"path": "/machine/peripheral/" + marker, "property": property}, &got)
			require.Equal(t, want, got, property)
		}
		require.NoError(t, v.Detach(t.Context(), marker))
		requireGone(t, v, d)
		require.NoError(t, v.Detach(t.Context(), marker), "a second time")
	}
}

// A virtio-blk disk goes when the guest's ACPI ejects it; without a guest, the
// test writes the eject register (QEMU docs/specs/acpi_pci_hotplug).
func TestAttachAndDetachVirtioBlk(t *testing.T) {
	v, d := startVM(t, bridge...), newDisk(t)
	marker := newMarker()
	require.NoError(t, d.attach(t.Context(), t, v.Sandbox, marker))
	var serial, addr any
	v.ask(t, "qom-get", map[string]string{"path": "/machine/peripheral/" + marker, "property": "serial"}, &serial)
	v.ask(t, "qom-get", map[string]string{"path": "/machine/peripheral/" + marker, "property": "addr"}, &addr)
	require.Equal(t, marker, serial)
	require.InDelta(t, 31<<3, addr, 0, "slot 31, function 0")

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := v.Detach(ctx, marker)
	require.ErrorIs(t, err, ErrGuestHolds)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, d.claimed(t))

	detached := make(chan error, 1)
	go func() { detached <- v.Detach(t.Context(), marker) }()
	ejectAll(t, v)
	require.NoError(t, <-detached)
	requireGone(t, v, d)
}

func TestBusyAddress(t *testing.T) {
	for name, args := range map[string][]string{"scsi": scsi, "virtio-blk": bridge} {
		t.Run(name, func(t *testing.T) {
			v, first, second := startVM(t, args...), newDisk(t), newDisk(t)
			a, b := newMarker(), newMarker()
			require.NoError(t, first.attach(t.Context(), t, v.Sandbox, a))
			err := second.attach(t.Context(), t, v.Sandbox, b)
			require.ErrorContains(t, err, "use")
			require.ErrorContains(t, err, a, "the message names who is there")
			require.NotErrorIs(t, err, ErrLeftover)
			require.False(t, second.claimed(t))
			list, err := v.List(t.Context())
			require.NoError(t, err)
			require.Equal(t, []Attachment{{Marker: a, Device: true, Node: true}}, list)
			if name == "scsi" {
				require.NoError(t, v.Detach(t.Context(), a))
				require.NoError(t, second.attach(t.Context(), t, v.Sandbox, b), "afterwards")
			}
		})
	}
}

func TestMarkerInUse(t *testing.T) {
	v, d, other := startVM(t, scsi...), newDisk(t), newDisk(t)
	marker := newMarker()
	require.NoError(t, d.attach(t.Context(), t, v.Sandbox, marker))
	require.ErrorIs(t, other.attach(t.Context(), t, v.Sandbox, marker), ErrAttached)
	require.False(t, other.claimed(t))
	list, err := v.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Attachment{{Marker: marker, Device: true, Node: true}}, list, "the first one is untouched")

	foreign := newMarker()
	v.ask(t, "blockdev-add", map[string]string{"driver": "null-co", "node-name": foreign}, nil)
	require.ErrorIs(t, other.attach(t.Context(), t, v.Sandbox, foreign), ErrAttached, "a node alone")
}

func TestUnfitDescriptors(t *testing.T) {
	v, d := startVM(t, scsi...), newDisk(t)
	for _, c := range []struct {
		path  string
		flags int
		want  string
	}{
		{d.path, os.O_RDONLY | unix.O_DIRECT, "O_RDWR and O_DIRECT"},
		{d.path, os.O_WRONLY | unix.O_DIRECT, "O_RDWR and O_DIRECT"},
		{d.path, os.O_RDWR, "O_RDWR and O_DIRECT"},
		{filepath.Dir(d.path), os.O_RDONLY, "O_RDWR"},
		{os.DevNull, os.O_RDWR, "O_RDWR and O_DIRECT"},
	} {
		f, err := os.OpenFile(c.path, c.flags, 0)
		require.NoError(t, err)
		require.ErrorContains(t, v.Attach(t.Context(), f, newMarker()), c.want)
		require.NoError(t, f.Close())
		require.ErrorIs(t, v.Attach(t.Context(), f, newMarker()), os.ErrClosed)
	}
	requireGone(t, v, d)

	for _, marker := range []string{"", "tes-", "0123", "tes-UPPER", "tes-" + "12345678901234567", `tes-a","x":"`} {
		require.ErrorContains(t, d.attach(t.Context(), t, v.Sandbox, marker), "not a marker")
		require.ErrorContains(t, v.Detach(t.Context(), marker), "not a marker")
	}
	require.NoError(t, d.attach(t.Context(), t, v.Sandbox, newMarker()), "afterwards")
}

func TestRegularFile(t *testing.T) {
	v := startVM(t, scsi...)
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE|unix.O_DIRECT, 0o600)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	require.NoError(t, f.Truncate(1<<20))
	marker := newMarker()
	require.NoError(t, v.Attach(t.Context(), f, marker))
	require.NoError(t, v.Detach(t.Context(), marker))
}

func TestNoController(t *testing.T) {
	v, d := startVM(t), newDisk(t)
	err := d.attach(t.Context(), t, v.Sandbox, newMarker())
	require.ErrorIs(t, err, ErrNoController)
	require.ErrorContains(t, err, "block_device_driver")
	requireGone(t, v, d)
}

// QEMU's own lock on the image keeps a second QEMU away that, like Kata's, opens
// the device without a claim.
func TestImageLock(t *testing.T) {
	v, d := startVM(t, scsi...), newDisk(t)
	require.NoError(t, d.attach(t.Context(), t, v.Sandbox, newMarker()))
	other := startVM(t, scsi...)
	f, err := os.OpenFile(d.path, os.O_RDWR|unix.O_DIRECT, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	err = other.Attach(t.Context(), f, newMarker())
	require.ErrorContains(t, err, "lock")
	list, err := other.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestPausedMachineKeepsTheClaim(t *testing.T) {
	v, d := startVM(t, append([]string{"-S"}, scsi...)...), newDisk(t)
	marker := newMarker()
	require.NoError(t, d.attach(t.Context(), t, v.Sandbox, marker))
	err := v.Detach(t.Context(), marker)
	if err == nil { // QEMU 9.1 and later lets go in a paused machine, too
		requireGone(t, v, d)
		return
	}
	require.ErrorIs(t, err, ErrPaused)
	require.ErrorContains(t, err, "resume it")
	require.True(t, d.claimed(t))
	list, err := v.List(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1, "and List says so")
	require.NotEmpty(t, list[0].FDSets)

	v.ask(t, "cont", nil, nil)
	require.NoError(t, v.Detach(t.Context(), marker))
	requireGone(t, v, d)
}

func TestKilledQEMU(t *testing.T) {
	v, d := startVM(t, scsi...), newDisk(t)
	marker := newMarker()
	require.NoError(t, d.attach(t.Context(), t, v.Sandbox, marker))
	v.kill()
	require.False(t, d.claimed(t))
	require.ErrorIs(t, v.Detach(t.Context(), marker), ErrNoMonitor)
	require.ErrorIs(t, d.attach(t.Context(), t, v.Sandbox, marker), ErrNoMonitor)
	_, err := v.List(t.Context())
	require.ErrorIs(t, err, ErrNoMonitor)
}

func TestQEMUThatEndedInOrder(t *testing.T) {
	v, d := startVM(t, scsi...), newDisk(t)
	marker := newMarker()
	require.NoError(t, d.attach(t.Context(), t, v.Sandbox, marker))
	v.signal(t, syscall.SIGTERM)
	require.NoError(t, v.cmd.Wait())
	require.NoFileExists(t, v.monitor)
	require.ErrorIs(t, v.Detach(t.Context(), marker), ErrNoMonitor)
	require.False(t, d.claimed(t))
}

func TestHungQEMUIsBounded(t *testing.T) {
	v, d := startVM(t, scsi...), newDisk(t)
	marker := newMarker()
	v.signal(t, syscall.SIGSTOP)
	begin := time.Now()
	for name, call := range map[string]func(context.Context) error{
		"attach": func(ctx context.Context) error { return d.attach(ctx, t, v.Sandbox, marker) },
		"detach": func(ctx context.Context) error { return v.Detach(ctx, marker) },
		"list":   func(ctx context.Context) error { _, err := v.List(ctx); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		require.ErrorIs(t, call(ctx), context.DeadlineExceeded, name)
		cancel()
	}
	require.Less(t, time.Since(begin), 5*time.Second)
	v.signal(t, syscall.SIGCONT)
	require.NoError(t, d.attach(t.Context(), t, v.Sandbox, marker), "afterwards")
}

func TestDetachWaitsForWhoeverUsesTheNode(t *testing.T) {
	v, d := startVM(t, scsi...), newDisk(t)
	marker := newMarker()
	require.NoError(t, d.attach(t.Context(), t, v.Sandbox, marker))
	v.ask(t, "blockdev-add", map[string]string{"driver": "raw", "node-name": "user", "file": marker}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := v.Detach(ctx, marker)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "in use")
	list, err := v.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Attachment{{Marker: marker, Node: true}}, list)

	detached := make(chan error, 1)
	go func() { detached <- v.Detach(t.Context(), marker) }()
	v.ask(t, "blockdev-del", map[string]string{"node-name": "user"}, nil)
	require.NoError(t, <-detached)
	requireGone(t, v, d)
}

// Clients of the monitor take turns, more of them than QEMU lets wait.
func TestManyAtOnce(t *testing.T) {
	v, d := startVM(t, scsi...), newDisk(t)
	marker := newMarker()
	results := make(chan error, 10)
	for range 5 {
		go func() { results <- d.attach0(t.Context(), v.Sandbox, marker) }()
		go func() { _, err := v.List(t.Context()); results <- err }()
	}
	failed := 0
	for range 10 {
		if err := <-results; err != nil {
			require.ErrorIs(t, err, ErrAttached)
			failed++
		}
	}
	require.Equal(t, 4, failed, "exactly one attach wins")
	list, err := v.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Attachment{{Marker: marker, Device: true, Node: true}}, list)
	require.NoError(t, v.Detach(t.Context(), marker))
	requireGone(t, v, d)
}

func TestNoDescriptorLeaks(t *testing.T) {
	v, d := startVM(t, scsi...), newDisk(t)
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(entries)
	}
	before := count()
	for range 10 {
		marker := newMarker()
		require.NoError(t, d.attach(t.Context(), t, v.Sandbox, marker))
		require.Error(t, d.attach0(t.Context(), v.Sandbox, marker))
		require.NoError(t, v.Detach(t.Context(), marker))
	}
	require.Equal(t, before, count())
}

// attach0 opens the disk without a claim.
func (d disk) attach0(ctx context.Context, s *Sandbox, marker string) error {
	f, err := os.OpenFile(d.path, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	return errors.Join(s.Attach(ctx, f, marker), f.Close())
}

// ejectAll does what a guest's ACPI does once it was asked to let go: it selects
// a bus and ejects slot 31 there.
func ejectAll(t *testing.T, v *vm) {
	t.Helper()
	const base = 0xcc0 // ICH9
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for bus := range 2 {
			v.hmp(t, "o/w %#x %d", base+0x10, bus)
			v.hmp(t, "o/w %#x %#x", base+0x08, uint32(1)<<31)
		}
		devices, err := machine{v.kata}.peripherals(t.Context())
		require.NoError(t, err)
		if len(devices) == 1 { // the bridge
			return
		}
	}
	require.Fail(t, "the eject had no effect")
}
