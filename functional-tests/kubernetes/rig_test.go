// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kubernetes_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

const (
	gib = 1 << 30
	// manifests are the product's, as they are in configs/kubernetes.
	manifests = "/opt/tes/manifests/"
	// podName is the proposal's, claim its claim.
	podName = "trusted-lvm-block"
	sidecar = "sidecar-trusted-store"
	app     = "application"
)

// rig is a node of a cluster with a volume for the proposal's claim, which each
// test gets anew.
type rig struct {
	containerd *lab.Containerd
	kubelet    *lab.Kubelet
	group      *lab.VolumeGroup
	volume     lab.Volume
}

// newRig starts containerd and kubelet.
func newRig(t *testing.T, version lab.Version) *rig {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	r := &rig{containerd: lab.StartContainerd(t, version)}
	r.group = lab.NewVolumeGroup(t, lab.OpenLocalGroup, gib)
	t.Cleanup(func() { require.NoError(t, r.containerd.RemoveDeadSandboxes(context.Background())) })
	r.kubelet = lab.StartKubelet(t)
	return r
}

// makeVolume makes a volume as open-local lays it out: a logical volume in the
// group open-local-pool-0.
func (r *rig) makeVolume(t *testing.T) {
	t.Helper()
	var err error
	r.volume, err = r.group.Make(lab.OpenLocalName(), gib)
	require.NoError(t, err)
	t.Cleanup(func() {
		if _, err := os.Stat(r.volume.Path); err == nil {
			require.NoError(t, r.volume.RemoveAfterPod(context.Background()))
		}
	})
}

// offer makes the volume a PersistentVolume. One that was used is Released for
// good, so that each pod's life needs a new one.
func (r *rig) offer(t *testing.T) {
	t.Helper()
	r.volume.Offer(t)
}

// runtimeClass is the product's but for what it reserves: a node with one cpu
// could run one such pod only.
const runtimeClass = `apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata:
  name: kata-qemu-tdx
handler: kata-qemu-tdx
`

// product is a manifest that a user installs, unchanged.
func product(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(manifests + name)
	require.NoError(t, err)
	return string(content)
}

// part is one of the documents in the product's manifest of the proposal.
func part(t *testing.T, kind string) string {
	t.Helper()
	for _, document := range strings.Split(product(t, "trusted_store_cc.yaml"), "\n---\n") {
		if strings.Contains(document, "kind: "+kind+"\n") {
			return document
		}
	}
	t.Fatalf("no %s in the proposal's manifest", kind)
	return ""
}

// run applies the proposal's manifest and waits until the pod is 2/2 Running.
func (r *rig) run(t *testing.T) lab.KubePod {
	t.Helper()
	r.offer(t)
	lab.Apply(t, product(t, "trusted_store_cc.yaml"))
	return ready(t, podName, 2)
}

func ready(t *testing.T, name string, many int) lab.KubePod {
	t.Helper()
	return lab.AwaitPod(t, name, fmt.Sprintf("%d containers are ready", many), func(p lab.KubePod) bool { return p.Ready(many) })
}

// guest is the one that runs for the pod.
func (r *rig) guest(t *testing.T, pod lab.KubePod) lab.Guest {
	t.Helper()
	sandbox, err := r.containerd.KubePodSandbox(t.Context(), pod)
	require.NoError(t, err)
	return sandbox.MustGuest(t)
}

// inApp runs a command in the application by kubectl exec.
func inApp(t *testing.T, command string) string {
	t.Helper()
	return lab.Kubectl(t, "exec", podName, "--container", app, "--", "sh", "-c", command)
}
