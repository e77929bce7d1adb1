// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package load_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	vcext "github.com/kata-tes/kata-tes/virtcontainers-ext"
)

// manyPods is how many come and go one after the other: TES_ALL=1 has them all.
func manyPods() (many, all int) {
	const share = 8
	all = 30
	if os.Getenv("TES_ALL") == "1" {
		return all, all
	}
	return share, all
}

// running is what there is while a pod runs: of containerd, of the pod's shim
// and QEMU, and of the node. Memory is in bytes.
type running struct {
	containerd, shim process
	// qemu has no threads here: its pool of workers comes and goes.
	qemu struct{ descriptors int }
	// disks are what QEMU's monitor says it has of ours, by nodes and devices.
	disks int
	// mappings and openFiles are the node's.
	mappings, openFiles int
}

type process struct {
	descriptors, threads int
	memory               int64
}

func look(ctx context.Context, containerd *lab.Containerd, pod *lab.Pod) (r running, err error) {
	shim, err := pod.Shim("containerd-shim-kata-tes-v2")
	if err != nil {
		return r, err
	}
	qemu, err := pod.QEMU()
	if err != nil {
		return r, err
	}
	var errs [3]error
	r.containerd, errs[0] = lookAt(containerd.Process())
	r.shim, errs[1] = lookAt(shim)
	r.qemu.descriptors, errs[2] = qemu.Descriptors()
	if err := errors.Join(errs[:]...); err != nil {
		return r, err
	}
	sandbox, err := vcext.Finder{}.Find(ctx, pod.ID)
	if err != nil {
		return r, err
	}
	disks, err := sandbox.List(ctx)
	if err != nil {
		return r, err
	}
	for _, disk := range disks {
		if !disk.Device || !disk.Node {
			return r, fmt.Errorf("half a disk is left in QEMU: %+v", disk)
		}
	}
	r.disks = len(disks)
	mappings, err := os.ReadDir("/dev/mapper")
	if err != nil {
		return r, err
	}
	r.mappings = len(mappings)
	// allocated, free (always 0), maximum: proc(5), /proc/sys/fs/file-nr
	files, err := os.ReadFile("/proc/sys/fs/file-nr")
	if err != nil {
		return r, err
	}
	r.openFiles, err = strconv.Atoi(strings.Fields(string(files))[0])
	return r, err
}

func lookAt(p lab.Process) (process, error) {
	descriptors, err1 := p.Descriptors()
	threads, err2 := p.Threads()
	memory, err3 := p.PSS()
	return process{descriptors, threads, memory}, errors.Join(err1, err2, err3)
}

// TestPodsOneAfterTheOther: what a pod leaves in containerd or in the node would
// add up, and the last pod is like the first. (Goroutines are seen by threads and
// memory only: neither containerd nor the shim serves their number here.)
func TestPodsOneAfterTheOther(t *testing.T) {
	// By then caches and pools are filled.
	const warm = 4
	many, all := manyPods()
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd2)
	group := lab.NewVolumeGroup(t, "open-local-pool-0", size)
	var before, now running
	for i := 1; i <= many; i++ {
		started := time.Now()
		require.NoError(t, life(t.Context(), containerd, group, fmt.Sprintf("pod-%d", i), func(pod *lab.Pod) (err error) {
			now, err = look(t.Context(), containerd, pod)
			return err
		}))
		t.Logf("pod %d: %.1f s, %+v", i, time.Since(started).Seconds(), now)
		require.Equal(t, 1, now.disks, "disks of ours in this pod's QEMU")
		if i == warm {
			before = now
		}
	}
	// One or two for a pod would be above these; what happens to be open at the
	// moment of the look, and the garbage collector's timing, is below.
	grown := many - warm
	require.Less(t, now.containerd.descriptors, before.containerd.descriptors+max(grown, 4))
	require.Less(t, now.containerd.threads, before.containerd.threads+max(grown, 8))
	// A shim's connection or a task's record kept for each pod would be some
	// hundred KiB.
	require.Less(t, now.containerd.memory, before.containerd.memory+16*mib, "containerd's memory grows with the pods")
	require.InDelta(t, before.shim.descriptors, now.shim.descriptors, 3, "a shim inherits what others left")
	require.InDelta(t, before.qemu.descriptors, now.qemu.descriptors, 3, "QEMU inherits what others left")
	require.Less(t, now.shim.memory, before.shim.memory+4*mib)
	require.Equal(t, before.mappings, now.mappings, "mappings of volumes or of stores are left on the node")
	// The kernel counts in batches for each processor.
	require.Less(t, now.openFiles, before.openFiles+32*max(grown, 8))
	t.Logf("summary: soak: %d of %d pods in virtual machines, since the fourth: containerd descriptors %+d, threads %+d, memory %+.1f MiB; "+
		"a pod's shim descriptors %+d, memory %+.1f MiB; QEMU descriptors %+d, disks of ours %d in each; node mappings %+d, open files %+d",
		many, all, now.containerd.descriptors-before.containerd.descriptors, now.containerd.threads-before.containerd.threads,
		float64(now.containerd.memory-before.containerd.memory)/mib,
		now.shim.descriptors-before.shim.descriptors, float64(now.shim.memory-before.shim.memory)/mib,
		now.qemu.descriptors-before.qemu.descriptors, now.disks, now.mappings-before.mappings, now.openFiles-before.openFiles)
}
