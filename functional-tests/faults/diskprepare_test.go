// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package faults

import (
	"cmp"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

// TestDiskInPreparation breaks the disk while the store is being made.
func TestDiskInPreparation(t *testing.T) {
	if !all() {
		t.Skip("runs with TES_ALL=1 (make test-all)")
	}
	r := newRig(t)
	for _, program := range Programs() {
		t.Run("fails in "+program, func(t *testing.T) {
			lab.NothingLeft(t)
			tr := r.begin(t, nil)
			inGuest := tr.holdProgram(program, holdBefore)
			c, ended := tr.start(t.Context())
			tr.await(inGuest, ended)
			tr.volume.Failing(t)
			inGuest.release()
			err := <-ended
			t.Logf("the start ended with: %v", err)
			require.Error(t, err)
			// luksFormat reads nothing: the header is in memory. What comes after
			// it does.
			require.Regexp(t, `(?i)input/output error|I/O error|mkfs|cryptsetup`, err.Error())
			tr.checkDoesNotRun(c)
			require.NoError(t, tr.pod.Remove(t.Context()))
		})
	}
	t.Run("hangs in mkfs.ext4", func(t *testing.T) {
		lab.NothingLeft(t)
		tr := r.begin(t, short)
		inGuest := tr.holdProgram("mkfs.ext4", holdBefore)
		c, ended := tr.start(t.Context())
		tr.await(inGuest, ended)
		resume := tr.volume.Hung(t)
		inGuest.release()
		err := <-ended
		t.Logf("the start ended with: %v", err)
		require.Error(t, err)
		require.Regexp(t, deadline, err.Error())
		tr.checkDoesNotRun(c)
		tr.checkDeletable(resume)
	})
}

// TestHungDiskInUse: a disk that answers nothing any more, under containers that
// write. They can't end, not even by SIGKILL, before the disk answers, and Kata
// waits for them. Our shim ends the virtual machine instead, and the pod is deleted
// while the disk still hangs.
func TestHungDiskInUse(t *testing.T) {
	if !all() {
		t.Skip("runs with TES_ALL=1 (make test-all)")
	}
	r := newRig(t)
	lab.NothingLeft(t)
	limit(t, limits{"hung_disk": 8 * time.Second})
	tr := &trial{rig: r, t: t, volume: r.group.Create(t, "store", size)}
	d := r.work(t, tr.volume, 8)
	tr.pod, tr.guest = d.pod, d.guest
	_, before := r.hostSays(t, said{})
	resume := tr.volume.Hung(t)
	d.checkAlive(t)
	tr.checkDeletable(resume)
	r.awaitHost(t, "trusted store's disk has answered nothing for 8s", before)
	lab.ForgetKilled(t, tr.pod)
}

// checkDeletable deletes the pod while its disk hangs. The process of QEMU, which
// has ended, stays until the kernel gets its last requests back: nobody can
// change that but the disk. Then everything is gone.
func (tr *trial) checkDeletable(resume func()) {
	tr.t.Helper()
	began := time.Now()
	removed := make(chan error, 1)
	go func() { removed <- tr.pod.RemoveSandbox(tr.t.Context()) }()
	select {
	case err := <-removed:
		tr.t.Logf("the pod is removed after %.1f s (%v)", time.Since(began).Seconds(), err)
		require.NoError(tr.t, err)
	case <-time.After(patience):
		resume()
		tr.t.Errorf("the pod can't be deleted while its disk hangs; afterwards: %v", <-removed)
	}
	_, err := tr.pod.QEMU()
	tr.t.Logf("QEMU's process while the disk hangs: %v", cmp.Or(err, errors.New("it is there")))
	resume()
	require.NoError(tr.t, tr.pod.Remove(tr.t.Context()), "the cgroup")
	tr.eventually("nobody holds the volume", tr.volume.ExclusivelyFree)
}
