// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kubernetes_test

import (
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/functional-tests/proposal"
)

// host runs a program of the node.
func host(t *testing.T, name string, args ...string) {
	t.Helper()
	output, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, output)
}

// testDeletedWhilePrepared deletes the pod while its store is being prepared.
// The kubelet waits for the Create that runs, and lets go of all then.
func testDeletedWhilePrepared(t *testing.T, r *rig) {
	// So that the preparation takes seconds.
	r.volume.Slow(t, 500*time.Millisecond)
	lab.Apply(t, runtimeClass)
	r.offer(t)
	lab.Apply(t, product(t, "trusted_store_cc.yaml"))
	// QEMU has the volume from the hotplug on; cryptsetup and mkfs follow.
	require.Eventually(t, func() bool {
		free, err := r.volume.ExclusivelyFree()
		return err == nil && !free
	}, 2*time.Minute, 20*time.Millisecond, "the volume is attached")
	pod := lab.AwaitPod(t, podName, "it is there", func(lab.KubePod) bool { return true })
	lab.Kubectl(t, "delete", "pod", podName, "--wait=false")
	require.NotContains(t, r.guest(t, pod).Must(t, "cat /proc/mounts"), proposal.Mapping, "the store is not ready yet, or this test comes too late")
	lab.Kubectl(t, "wait", "pod/"+podName, "--for=delete", "--timeout=3m")
	require.NoError(t, r.volume.RemoveAfterPod(t.Context()), "nobody holds the volume of a pod that is gone")
}
