// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kubernetes_test

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/functional-tests/proposal"
)

// TestContainerd1 is the proposal's pod on the older containerd.
func TestContainerd1(t *testing.T) {
	r := newRig(t, lab.Containerd1)
	r.makeVolume(t)
	testProposal(t, r)
}

// TestContainerd2 is all the rest, on one node, so that it is started once.
func TestContainerd2(t *testing.T) {
	r := newRig(t, lab.Containerd2)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *rig)
	}{
		{"the proposal", testProposal},
		{"a pod's life", testLife},
		{"a failed sidecar", testFailedSidecar},
		{"a native sidecar", testNativeSidecar},
		{"other forms", testOtherForms},
		{"attached while prepared", testAttachedWhilePrepared},
		{"deleted while prepared", testDeletedWhilePrepared},
		{"the script for TDX hosts", testCheckScript},
	} {
		t.Run(test.name, func(t *testing.T) {
			r.makeVolume(t)
			test.run(t, r)
		})
	}
}

// testProposal is docs/trusted-ephemeral-storage.md, word for word: its
// manifest, what kubectl says, what the guest shows.
func testProposal(t *testing.T, r *rig) {
	lab.Apply(t, product(t, "runtimeclass.yaml"))
	pod := r.run(t)
	pods := lab.Kubectl(t, "get", "pods")
	t.Logf("\n%s", pods)
	require.Regexp(t, `(?m)^NAME +READY +STATUS +RESTARTS +AGE\ntrusted-lvm-block +2/2 +Running +0 +\d+s$`, pods)

	guest := r.guest(t, pod)
	proposal.CheckListings(t, guest)
	secret := "secret-" + rand.Text()
	inApp(t, "echo "+secret+" >/note && sync")
	require.Contains(t, guest.Must(t, "cat /run/image/overlay/*/*/note"), secret, "what the application writes is on the store")
	found, err := r.volume.Search([]byte(secret), []byte("LUKS\xba\xbe"), []byte("SKUL\xba\xbe"), []byte("marker of the busybox image"))
	require.NoError(t, err)
	require.Positive(t, found.Written)
	require.Empty(t, found.Texts, "readable on the host")
	require.Contains(t, inApp(t, "cat /etc/marker"), "marker of the busybox image", "or the search for it proves nothing")

	lab.Kubectl(t, "delete", "--wait", "--timeout=3m", "--filename="+manifests+"trusted_store_cc.yaml")
	require.NoError(t, r.volume.RemoveAfterPod(t.Context()), "nobody holds the volume of a pod that is gone")
}
