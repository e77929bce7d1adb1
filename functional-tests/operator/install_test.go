// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package operator

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/functional-tests/proposal"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

const gib = 1 << 30

// TestFromNothingAndBack is an operator's way, on each containerd.
func TestFromNothingAndBack(t *testing.T) {
	for _, v := range lab.Versions() {
		t.Run(v.Name, func(t *testing.T) {
			lab.NothingLeft(t, lab.KataSocket) // of the stock pod at the end
			lab.KeepConsoles(t)
			layOut(t, v)
			containerd := lab.StartContainerdWith(t, v, mainConfig)
			volume := lab.NewVolumeGroup(t, "open-local-pool-0", gib).Create(t, "store", gib)
			before := tree(t)

			t.Run("doctor says what is missing", func(t *testing.T) {
				r := call(t, "doctor", "--runtime", lab.Tes)
				require.Equal(t, 1, r.status)
				require.Contains(t, r.out, "kata-tes install")
				require.Equal(t, before, tree(t))
			})
			t.Run("what is wrong changes nothing", func(t *testing.T) { checkRefusals(t, before) })
			t.Run("a dry run changes nothing", func(t *testing.T) {
				require.Contains(t, must(t, "install", "--runtime", lab.Tes, "--dry-run"), "+++ ")
				require.Equal(t, before, tree(t))
			})

			must(t, "install", "--runtime", lab.Tes)
			installed := tree(t)
			require.Contains(t, must(t, "install", "--runtime", lab.Tes), "no file has to change")
			require.Equal(t, installed, tree(t), "a second call changes nothing")
			require.NoError(t, containerd.Restart(false))
			checkHealth(t)

			pod := runProposal(t, containerd, volume)
			t.Run("status", func(t *testing.T) { checkStatus(t, pod, volume) })
			t.Run("a pod runs on it", func(t *testing.T) {
				r := call(t, "uninstall")
				require.Equal(t, 1, r.status)
				require.Contains(t, r.err, "pods still run on it")
				require.Equal(t, installed, tree(t))
			})
			checkHealth(t)
			require.NoError(t, pod.Remove(t.Context()))

			must(t, "uninstall")
			require.Equal(t, before, tree(t), "byte for byte")
			require.Contains(t, must(t, "uninstall"), "no file has to change")
			require.NoError(t, containerd.Restart(false))
			t.Run("stock Kata as before", func(t *testing.T) {
				pod := containerd.StartPod(t, lab.PodSpec{Name: "stock", Handler: lab.Tes})
				require.NoDirExists(t, filepath.Join(rundir.Root, pod.ID))
				require.NoError(t, pod.Remove(t.Context()))
			})
		})
	}
}

// checkHealth: of all that doctor looks at, what is wrong is the guest image. That
// of the tests has an init of its own and no systemd, and so no unit of ours.
func checkHealth(t *testing.T) {
	t.Helper()
	r := call(t, "doctor", "--runtime", lab.Tes)
	require.Equal(t, 1, r.status)
	require.Regexp(t, `(?m)^ +wrong +guest image .*kata-tes-agent.service`, r.out)
	require.Regexp(t, `(?m)^\d+ ok, (\d+ warnings?, )?1 wrong$`, r.out)
}

// runProposal runs the proposal's pod, whose store is what the proposal shows.
func runProposal(t *testing.T, containerd *lab.Containerd, volume lab.Volume) *lab.Pod {
	t.Helper()
	pod := containerd.StartPod(t, lab.PodSpec{Name: "trusted-lvm-block", Handler: lab.Tes})
	pod.StartContainer(t, lab.ContainerSpec{
		Name: "sidecar-trusted-store", Image: "docker.io/library/pause:latest", Command: []string{"/pause"},
		Devices: []lab.Device{{Host: volume.Path, Container: lab.TrustedStore}},
	})
	pod.StartContainer(t, lab.ContainerSpec{Name: "application"})
	proposal.CheckListings(t, pod.MustGuest(t))
	return pod
}

// checkRefusals gives each command what it can't do.
func checkRefusals(t *testing.T, before map[string]string) {
	for _, c := range []struct {
		status int
		words  string
		args   []string
	}{
		{1, "kata-qemu-tdx", []string{"install", "--runtime", "kata-qemu-tdy"}},
		{1, "runc", []string{"install", "--runtime", lab.Runc}},
		{1, "kata-qemu-tdx", []string{"install"}},
		{1, "/nowhere", []string{"install", "--runtime", lab.Tes, "--from", "/nowhere"}},
		{1, "/nowhere.toml", []string{"install", "--runtime", lab.Tes, "--containerd-config", "/nowhere.toml"}},
		{2, "unknown flag", []string{"install", "--bogus"}},
		{2, "takes no argument", []string{"install", lab.Tes}},
		{2, "without --restart", []string{"uninstall", "--restart-command", "true"}},
		{2, "table or json", []string{"doctor", "-o", "yaml"}},
		{2, "unknown command", []string{"instal"}},
		{1, "no-such-pod", []string{"status", "no-such-pod"}},
		{1, "/etc/passwd", []string{"guest-image", "--verify", "/etc/passwd"}},
	} {
		r := call(t, c.args...)
		require.Equal(t, c.status, r.status)
		require.NotEmpty(t, r.err)
		require.Contains(t, r.err, c.words)
	}
	require.Equal(t, before, tree(t))
	_, err := os.Stat(rundir.Root)
	require.ErrorIs(t, err, os.ErrNotExist)
}
