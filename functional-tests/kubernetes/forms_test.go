// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kubernetes_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/functional-tests/proposal"
)

// refusal is what kata-tes says of a volume that cannot be written, whole.
const refusal = "the block device is read-only; make it writable (lvchange -prw, blockdev --setrw), or take readOnly off the volume"

// testFailedSidecar: the kubelet goes on with the application when a plain
// sidecar fails. It must not run without its store, a person must read why, and
// the kubelet's next attempt must work once the reason is gone.
func testFailedSidecar(t *testing.T, r *rig) {
	lab.Apply(t, runtimeClass)
	host(t, "blockdev", "--setro", r.volume.Path)
	r.offer(t)
	lab.Apply(t, product(t, "trusted_store_cc.yaml"))

	pod := lab.AwaitPod(t, podName, "both containers are refused", func(p lab.KubePod) bool {
		return p.Container(sidecar).LastState.Terminated != nil && p.Container(app).LastState.Terminated != nil
	})
	require.Contains(t, pod.Container(sidecar).LastState.Terminated.Message, refusal)
	require.Equal(t, "StartError", pod.Container(app).LastState.Terminated.Reason)
	require.Contains(t, pod.Container(app).LastState.Terminated.Message, "this pod's trusted store is not ready, so no other container of the pod is started")

	described := lab.Kubectl(t, "describe", "pod", podName)
	// describe breaks no lines of an event.
	require.Contains(t, described, refusal)
	for _, line := range strings.Split(described, "\n") {
		if strings.Contains(line, refusal) || strings.Contains(line, "trusted store is not ready") {
			t.Logf("the user reads: %s", strings.TrimSpace(line))
		}
	}

	host(t, "blockdev", "--setrw", r.volume.Path)
	pod = ready(t, podName, 2)
	proposal.CheckListings(t, r.guest(t, pod))
}

// testNativeSidecar: the order that only Kubernetes can guarantee.
func testNativeSidecar(t *testing.T, r *rig) {
	lab.Apply(t, runtimeClass)
	r.offer(t)
	lab.Apply(t, product(t, "trusted_store_native_sidecar.yaml"))
	pod := ready(t, podName, 2)
	proposal.CheckListings(t, r.guest(t, pod))
}

// testOtherForms: what people try as well. Each works or is refused in words.
func testOtherForms(t *testing.T, r *rig) {
	lab.Apply(t, runtimeClass)
	r.offer(t)
	lab.Apply(t, part(t, "PersistentVolumeClaim"))
	template := part(t, "Pod")

	t.Run("subPath", func(t *testing.T) {
		_, err := lab.KubectlInput(t.Context(), strings.Replace(template, "       name: trusted-store\n", "       name: trusted-store\n       subPath: images\n", 1),
			"apply", "--filename=-")
		require.ErrorContains(t, err, `unknown field "spec.containers[0].volumeDevices[0].subPath"`)
		t.Logf("the user reads: %v", err)
	})
	t.Run("volumeMounts", func(t *testing.T) {
		lab.Apply(t, strings.NewReplacer("volumeDevices:", "volumeMounts:", "devicePath:", "mountPath:").Replace(template))
		lab.AwaitEvent(t, podName, `volume trusted-store has volumeMode Block, but is specified in volumeMounts`)
	})
	t.Run("another path", func(t *testing.T) {
		lab.Apply(t, strings.Replace(template, "/dev/trusted_store", "/dev/data", 1))
		pod := ready(t, podName, 2)
		records := r.guest(t, pod).Records(t)
		require.Equal(t, "/dev/data", records[1].Request.Devices[0].ContainerPath, "a plain device of Kata's")
		require.NotContains(t, r.guest(t, pod).Must(t, "cat /proc/mounts"), "ephemeral_image_encrypted_disk")
	})
	t.Run("a path like it", func(t *testing.T) {
		lab.Apply(t, strings.Replace(template, "/dev/trusted_store", "/dev/trusted_store2", 1))
		pod := lab.AwaitPod(t, podName, "it is refused", func(p lab.KubePod) bool {
			return p.Container(sidecar).LastState.Terminated != nil
		})
		require.Contains(t, pod.Container(sidecar).LastState.Terminated.Message, "/dev/trusted_store2")
		t.Logf("the user reads: %s", pod.Container(sidecar).LastState.Terminated.Message)
	})
}
