// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kubernetes_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

// interactive is the proposal's pod with a shell before the sidecar, so that it
// runs while the store is prepared.
const interactive = `apiVersion: v1
kind: Pod
metadata:
  name: interactive
spec:
  runtimeClassName: kata-qemu-tdx
  terminationGracePeriodSeconds: 1
  containers:
  - name: application
    image: busybox
    command: [sh]
    stdin: true
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

// testAttachedWhilePrepared: a container that runs already is attached to, and
// answers, while the Create of another is held back.
func testAttachedWhilePrepared(t *testing.T, r *rig) {
	lab.Apply(t, runtimeClass)
	r.offer(t)
	lab.Apply(t, part(t, "PersistentVolumeClaim"))
	lab.Apply(t, interactive)
	pod := lab.AwaitPod(t, "interactive", "the shell runs and the sidecar was refused", func(p lab.KubePod) bool {
		return p.Container(app).State.Running != nil && p.Container(sidecar).LastState.Terminated != nil
	})
	shell := lab.KubectlAttach(t, "interactive", app)
	require.Equal(t, "here\n", shell.Ask(t, "echo here"))

	// The kubelet will try again. The shim has claimed the volume then, and
	// waits for a guest that says nothing.
	guest := r.guest(t, pod)
	guest.Must(t, "killall -STOP kata-tes-agent")
	claimed := func() bool {
		free, err := r.volume.ExclusivelyFree()
		return err == nil && !free
	}
	require.Eventually(t, claimed, 2*time.Minute, 20*time.Millisecond, "the sidecar is tried again")
	require.Equal(t, "at work\n", shell.Ask(t, "echo at work"))
	require.True(t, claimed(), "the sidecar was refused before the shell had answered, so this shows nothing")
}
