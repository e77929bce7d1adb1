// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/functional-tests/proposal"
)

const (
	manifests = "/opt/tes/manifests"
	manifest  = "trusted_store_cc.yaml"
	podName   = "trusted-lvm-block"
	onNode    = "root@node:~# "
	inGuest   = "root@guest:/# "
)

// TestDemo is docs/trusted-ephemeral-storage.md in its own order, with what a
// user types and what that prints.
func TestDemo(t *testing.T) {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	s := screen{os.Stdout, bootTime(t)}
	containerd, volume := cluster(t, s)
	t.Chdir(manifests)

	s.heading("The proposal's pod and its claim, unchanged")
	onHost(t, s, "cat "+manifest)

	s.heading("Create the workload")
	t.Cleanup(func() {
		// Where the demo ends before it has deleted it.
		_, err := lab.KubectlInput(context.Background(), "", "delete", "--ignore-not-found", "-f", manifest)
		require.NoError(t, err)
	})
	kubectl(t, s, "apply", "-f", manifest)
	kubectl(t, s, "wait", "--for=condition=Ready", "pod/"+podName, "--timeout=5m")

	s.heading("Ensure the pod was created successfully (in running state)")
	require.Regexp(t, `(?m)^`+podName+` +2/2 +Running +0 `, kubectl(t, s, "get", "pods"))
	require.Contains(t, kubectl(t, s, "get", "pvc"), "Bound")

	guest := guestOf(t, containerd)
	listings(t, s, guest)
	ciphertext(t, s, guest, volume)

	s.heading("Delete it: the volume is free at once, the key is gone")
	kubectl(t, s, "delete", "-f", manifest)
	require.NoError(t, volume.AwaitUnmapped(t.Context()))
	onHost(t, s, "lvremove --yes "+volume.Path)
}

// cluster is a node of Kubernetes with a volume to offer.
func cluster(t *testing.T, s screen) (*lab.Containerd, lab.Volume) {
	s.heading("A node of Kubernetes: kubelet, containerd 2, Kata behind our shim, and a logical volume as open-local makes them")
	containerd := lab.StartContainerd(t, lab.Containerd2)
	group := lab.NewVolumeGroup(t, lab.OpenLocalGroup, 1<<30)
	volume, err := group.Make(lab.OpenLocalName(), 1<<30)
	require.NoError(t, err)
	lab.StartKubelet(t)
	volume.Offer(t)
	runtimeClass, err := os.ReadFile(manifests + "/runtimeclass.yaml")
	require.NoError(t, err)
	lab.Apply(t, string(runtimeClass))
	kubectl(t, s, "get", "nodes", "-o", "wide")
	kubectl(t, s, "get", "runtimeclass,storageclass,pv")
	return containerd, volume
}

// guestOf is the pod's virtual machine.
func guestOf(t *testing.T, containerd *lab.Containerd) lab.Guest {
	t.Helper()
	pod := lab.AwaitPod(t, podName, "2/2 Running", func(p lab.KubePod) bool { return p.Ready(2) })
	sandbox, err := containerd.KubePodSandbox(t.Context(), pod)
	require.NoError(t, err)
	return sandbox.MustGuest(t)
}

// listings are the proposal's, from inside the guest. The header is in the
// guest's memory, so that cryptsetup must be told where.
func listings(t *testing.T, s screen, guest lab.Guest) {
	s.heading("Inside the virtual machine, by the agent's debug console: the images are saved in encrypted storage")
	for _, command := range []string{
		// Through cat: lsblk breaks lines for a terminal.
		"lsblk --fs | cat",
		"cryptsetup status ephemeral_image_encrypted_disk --header /run/kata-tes/trusted_store.luks2",
		"mount|grep image",
		"df -h /run/image",
		"ls /run/image/",
	} {
		shell(t, s, guest, command)
	}
	// What was shown is what the proposal shows, or the test fails.
	proposal.CheckListings(t, guest)
}

// ciphertext has the application write a file, and looks for it in the guest
// and on the host.
func ciphertext(t *testing.T, s screen, guest lab.Guest, volume lab.Volume) {
	secret := "secret-" + rand.Text()
	s.heading("A file that the application writes")
	kubectl(t, s, "exec", podName, "-c", "application", "--", "sh", "-c", "'echo "+secret+" > /note; sync'")
	require.Contains(t, shell(t, s, guest, "grep -r "+secret+" /run/image/overlay"), secret)

	s.heading("What the host sees of it")
	found, err := volume.Search([]byte(secret), []byte("marker of the busybox image"), []byte("LUKS\xba\xbe"), []byte("SKUL\xba\xbe"))
	require.NoError(t, err)
	require.Empty(t, found.Texts, "readable on the host")
	require.Positive(t, found.Written, "something was written")
	s.note("all of %s was read: %d of %d blocks are written; the file's text, the image's and a LUKS header are in none of them",
		volume.Path, found.Written, volume.Size>>12)
}

// kubectl shows and runs kubectl. Quotes in the arguments are for the reader.
func kubectl(t *testing.T, s screen, args ...string) string {
	t.Helper()
	return typed(t, s, "kubectl "+strings.Join(args, " "), func() (string, error) {
		bare := make([]string, len(args))
		for i, arg := range args {
			bare[i] = strings.Trim(arg, "'")
		}
		return lab.KubectlInput(t.Context(), "", bare...)
	})
}

// onHost shows and runs a command of the node.
func onHost(t *testing.T, s screen, command string) {
	t.Helper()
	typed(t, s, command, func() (string, error) {
		output, err := exec.CommandContext(t.Context(), "bash", "-c", command).CombinedOutput()
		return string(output), err
	})
}

// typed shows and runs something on the node.
func typed(t *testing.T, s screen, command string, run func() (string, error)) string {
	t.Helper()
	output, err := s.run(onNode, command, run)
	require.NoError(t, err)
	return output
}

// shell shows and runs a command in the guest.
func shell(t *testing.T, s screen, guest lab.Guest, command string) string {
	t.Helper()
	output, err := s.run(inGuest, command, func() (string, error) { return guest.Must(t, command), nil })
	require.NoError(t, err)
	return output
}

// bootTime is when the node was booted.
func bootTime(t *testing.T) time.Time {
	t.Helper()
	text, err := os.ReadFile("/proc/uptime")
	require.NoError(t, err)
	var seconds float64
	_, err = fmt.Sscan(string(text), &seconds)
	require.NoError(t, err)
	return time.Now().Add(-time.Duration(seconds * float64(time.Second)))
}
