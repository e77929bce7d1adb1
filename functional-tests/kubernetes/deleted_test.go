// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kubernetes_test

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

// host runs a program of the node.
func host(t *testing.T, name string, args ...string) {
	t.Helper()
	output, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, output)
}

// awaitEvent waits until one of the pod's events says that.
func awaitEvent(t *testing.T, pod, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		events, err := lab.KubectlInput(t.Context(), "", "get", "events", "--field-selector=involvedObject.name="+pod, "--output=jsonpath={.items[*].message}")
		return err == nil && strings.Contains(events, text)
	}, 2*time.Minute, time.Second, "an event of pod %s that says %q", pod, text)
}

// TestDeletedWhilePrepared deletes the pod while its store is being prepared.
func TestDeletedWhilePrepared(t *testing.T) {
	r := newRig(t, lab.Containerd2)
	lab.Apply(t, runtimeClass)
	r.offer(t)
	lab.Apply(t, product(t, "trusted_store_cc.yaml"))
	// QEMU has the volume from the hotplug on; a second of cryptsetup and mkfs
	// follows.
	require.Eventually(t, func() bool {
		free, err := r.volume.ExclusivelyFree()
		return err == nil && !free
	}, 2*time.Minute, 20*time.Millisecond, "the volume is attached")
	lab.Kubectl(t, "delete", "pod", podName, "--wait", "--timeout=3m")
	require.NoError(t, r.volume.RemoveAfterPod(t.Context()), "nobody holds the volume of a pod that is gone")
}
