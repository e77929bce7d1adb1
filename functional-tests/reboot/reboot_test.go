// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package reboot_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/functional-tests/proposal"
)

const (
	gib       = 1 << 30
	manifests = "/opt/tes/manifests/"
	podName   = "trusted-lvm-block"
	sidecar   = "sidecar-trusted-store"
	app       = "application"
	// noted is where the first boot writes what the second one compares with.
	noted = "/var/lib/tes-reboot"
)

// TestReboot: the node loses its power while the proposal's pod runs, and boots
// again. The pod runs again, by itself, with a new store on the old volume.
func TestReboot(t *testing.T) {
	if lab.Boot(t) == 1 {
		untilPowerLoss(t)
	}
	afterPowerLoss(t)
}

// untilPowerLoss does not return.
func untilPowerLoss(t *testing.T) {
	lab.StartContainerd(t, lab.Containerd2)
	volume, err := lab.NewVolumeGroup(t, lab.OpenLocalGroup, gib).Make(lab.OpenLocalName(), gib)
	require.NoError(t, err)
	lab.StartKubelet(t)
	volume.Offer(t)
	apply(t, "runtimeclass.yaml")
	apply(t, "trusted_store_cc.yaml")
	pod := running(t, func(lab.KubePod) bool { return true })
	inApp(t, "echo kept >/note && sync")
	require.Equal(t, "kept\n", inApp(t, "cat /note"))
	remember(t, bootID(t), volume.Path, pod.Metadata.UID)
	lab.LosePower(t)
}

func afterPowerLoss(t *testing.T) {
	before := recall(t)
	require.NotEqual(t, before[0], bootID(t), "the node has booted again")
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd2)
	group := lab.FindVolumeGroup(t, lab.OpenLocalGroup)
	volume := group.Find(t, strings.TrimPrefix(before[1], "/dev/"+lab.OpenLocalGroup+"/"), gib)
	lab.StartKubelet(t)

	// What the API server has of the pod is of the first boot at first.
	pod := running(t, func(p lab.KubePod) bool {
		return p.Container(sidecar).RestartCount > 0 && p.Container(app).RestartCount > 0
	})
	t.Logf("\n%s", lab.Kubectl(t, "get", "pods"))
	require.Equal(t, before[2], pod.Metadata.UID, "it is the same pod")
	sandbox, err := containerd.KubePodSandbox(t.Context(), pod)
	require.NoError(t, err)
	proposal.CheckListings(t, sandbox.MustGuest(t))
	require.Equal(t, "none\n", inApp(t, "cat /note 2>/dev/null || echo none"), "a new store: the old key is gone with the power")

	lab.Kubectl(t, "delete", "--wait", "--timeout=3m", "--filename="+manifests+"trusted_store_cc.yaml")
	require.NoError(t, volume.RemoveAfterPod(t.Context()), "nobody holds the volume of a pod that is gone")
	lab.Kubectl(t, "delete", "--filename="+manifests+"runtimeclass.yaml")
}

func apply(t *testing.T, name string) {
	t.Helper()
	text, err := os.ReadFile(manifests + name)
	require.NoError(t, err)
	lab.Apply(t, string(text))
}

// running waits until both containers of the pod are ready.
func running(t *testing.T, also func(lab.KubePod) bool) lab.KubePod {
	t.Helper()
	return lab.AwaitPod(t, podName, "2/2 Running", func(p lab.KubePod) bool { return p.Ready(2) && also(p) })
}

func inApp(t *testing.T, command string) string {
	t.Helper()
	return lab.Kubectl(t, "exec", podName, "--container", app, "--", "sh", "-c", command)
}

func bootID(t *testing.T) string {
	t.Helper()
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	require.NoError(t, err)
	return strings.TrimSpace(string(id))
}

// remember writes lines so that they are on the disk when the power goes.
func remember(t *testing.T, lines ...string) {
	t.Helper()
	file, err := os.Create(noted)
	require.NoError(t, err)
	_, err = file.WriteString(strings.Join(lines, "\n"))
	require.NoError(t, err)
	require.NoError(t, file.Sync())
	require.NoError(t, file.Close())
	folder, err := os.Open("/var/lib")
	require.NoError(t, err)
	require.NoError(t, folder.Sync(), "the file's name as well")
	require.NoError(t, folder.Close())
}

func recall(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(noted)
	require.NoError(t, err, "the first boot's notes")
	lines := strings.Split(string(text), "\n")
	require.Len(t, lines, 3)
	return lines
}
