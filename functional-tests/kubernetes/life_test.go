// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kubernetes_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/functional-tests/proposal"
)

// testLife is one pod's whole life under the kubelet.
func testLife(t *testing.T, r *rig) {
	lab.Apply(t, runtimeClass)
	pod := r.run(t)
	inApp(t, "echo kept >/note && sync")

	t.Run("the sidecar is restarted under the application", func(t *testing.T) {
		r.kill(t, pod, sidecar)
		pod = restarted(t, pod, sidecar)
		require.Zero(t, pod.Container(app).RestartCount)
		require.Equal(t, "kept\n", inApp(t, "cat /note"), "stock Kata would have unplugged the disk")
		proposal.CheckListings(t, r.guest(t, pod))
	})
	t.Run("the application is restarted", func(t *testing.T) {
		r.kill(t, pod, app)
		pod = restarted(t, pod, app)
		require.Equal(t, "none\n", inApp(t, "cat /note 2>/dev/null || echo none"), "a container that is made anew has a writable layer of its own")
		inApp(t, "echo again >/note && sync")
		require.Contains(t, r.guest(t, pod).Must(t, "cat /run/image/overlay/*/*/note"), "again")
	})
	t.Run("containerd and the kubelet are restarted", func(t *testing.T) {
		require.NoError(t, r.containerd.Restart(true))
		require.NoError(t, r.kubelet.Restart(true))
		after := ready(t, podName, 2)
		require.Equal(t, pod.Status.ContainerStatuses, after.Status.ContainerStatuses, "nothing was started anew")
		require.Eventually(t, func() bool {
			note, err := lab.KubectlInput(t.Context(), "", "exec", podName, "--container", app, "--", "cat", "/note")
			return err == nil && note == "again\n"
		}, 2*time.Minute, time.Second, "a kubelet that has just started knows its pods a moment later")
	})
	t.Run("a second pod with the same claim is refused", func(t *testing.T) {
		lab.Apply(t, second)
		refused := lab.AwaitPod(t, "second", "it is refused", func(p lab.KubePod) bool {
			return p.Container(sidecar).LastState.Terminated != nil
		})
		require.Equal(t, "StartError", refused.Container(sidecar).LastState.Terminated.Reason)
		require.Contains(t, refused.Container(sidecar).LastState.Terminated.Message, "in use by another pod; unmount it, or give the pod a volume of its own")
		require.Equal(t, "again\n", inApp(t, "cat /note"), "the first pod is as it was")
	})
	life := t
	t.Run("QEMU is killed", func(t *testing.T) {
		sandbox, err := r.containerd.KubePodSandbox(t.Context(), pod)
		require.NoError(t, err)
		qemu, err := sandbox.QEMU()
		require.NoError(t, err)
		require.NoError(t, unix.Kill(qemu.PID, unix.SIGKILL))
		life.Cleanup(func() { lab.ForgetKilled(life, sandbox) })
		pod = restarted(t, pod, sidecar)
		again, err := r.containerd.KubePodSandbox(t.Context(), pod)
		require.NoError(t, err)
		require.NotEqual(t, sandbox.ID, again.ID, "the kubelet made a new sandbox")
		require.Equal(t, "none\n", inApp(t, "cat /note 2>/dev/null || echo none"), "a new store, on the old volume")
		proposal.CheckListings(t, r.guest(t, pod))
	})
	t.Run("the pod is deleted", func(t *testing.T) {
		lab.Kubectl(t, "delete", "pod", podName, "--wait", "--timeout=3m")
		require.NoError(t, r.volume.RemoveAfterPod(t.Context()), "nobody holds the volume of a pod that is gone")
	})
}

// second wants the same claim on the same node, which Kubernetes allows.
const second = `apiVersion: v1
kind: Pod
metadata:
  name: second
spec:
  runtimeClassName: kata-qemu-tdx
  terminationGracePeriodSeconds: 1
  containers:
  - name: sidecar-trusted-store
    image: pause
    volumeDevices:
    - devicePath: /dev/trusted_store
      name: trusted-store
  volumes:
  - name: trusted-store
    persistentVolumeClaim:
      claimName: trusted-store-block-pvc
`

// kill ends a container's processes by SIGKILL.
func (r *rig) kill(t *testing.T, pod lab.KubePod, container string) {
	t.Helper()
	_, id, found := strings.Cut(pod.Container(container).ContainerID, "containerd://")
	require.True(t, found)
	_, err := r.containerd.Ctr("tasks", "kill", "--signal", "SIGKILL", id)
	require.NoError(t, err)
}

// restarted waits until the kubelet has started the container again, and all
// of the pod runs.
func restarted(t *testing.T, before lab.KubePod, container string) lab.KubePod {
	t.Helper()
	return lab.AwaitPod(t, before.Metadata.Name, container+" is restarted", func(p lab.KubePod) bool {
		return p.Container(container).RestartCount > before.Container(container).RestartCount && p.Ready(2)
	})
}
