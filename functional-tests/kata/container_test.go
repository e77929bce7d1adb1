// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package kata_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/functional-tests/proposal"
)

// script is a container that runs a shell script.
func script(name, text string) lab.ContainerSpec {
	return lab.ContainerSpec{Name: name, Command: []string{"sh", "-c", text}}
}

// exitOf waits for a container's end.
func exitOf(t *testing.T, c *lab.Container) *runtime.ContainerStatus {
	t.Helper()
	var status *runtime.ContainerStatus
	require.Eventually(t, func() bool {
		var err error
		status, err = c.Status(t.Context())
		require.NoError(t, err)
		return status.GetState() == runtime.ContainerState_CONTAINER_EXITED
	}, time.Minute, 100*time.Millisecond, "the container ends")
	return status
}

// TestContainersOnTheStore is what applications rely on, in a pod whose images
// and files are on its store: from kubectl's logs, exec and exit codes down to
// the process in the guest, and back.
func TestContainersOnTheStore(t *testing.T) {
	lab.NothingLeft(t)
	lab.KeepConsoles(t)
	containerd := lab.StartContainerd(t, lab.Containerd2)
	group := lab.NewVolumeGroup(t, "open-local-pool-0", gib+64<<20)
	volume, data := group.Create(t, "store", gib), group.Create(t, "data", 64<<20)
	pod := containerd.StartPod(t, lab.PodSpec{Name: "containers", Handler: lab.Tes})
	pod.StartContainer(t, sidecar(volume))
	guest := pod.MustGuest(t)
	app := pod.StartContainer(t, script("application", "echo to stdout; echo to stderr >&2; trap 'exit 3' TERM; while :; do sleep 0.1; done"))

	t.Run("logs", func(t *testing.T) { checkLog(t, app, "stdout to stdout", "stderr to stderr") })
	t.Run("exec", func(t *testing.T) { checkExec(t, app) })
	t.Run("exit codes", func(t *testing.T) {
		require.Equal(t, int32(7), exitOf(t, pod.StartContainer(t, script("exits", "exit 7"))).GetExitCode())
		require.Equal(t, int32(137), exitOf(t, pod.StartContainer(t, script("kills-itself", "sh -c 'kill -KILL $$'; exit $?"))).GetExitCode())
	})
	t.Run("resources", func(t *testing.T) { checkResources(t, containerd, app, guest) })
	t.Run("a terminal", func(t *testing.T) {
		spec := script("terminal", "test -t 0 && test -t 1 && tty; echo to stderr >&2")
		spec.TTY = true
		c := pod.StartContainer(t, spec)
		require.Zero(t, exitOf(t, c).GetExitCode())
		checkLog(t, c, "stdout /dev/pts/0", "stdout to stderr")
	})
	t.Run("no such program", func(t *testing.T) {
		_, err := pod.Run(t.Context(), lab.ContainerSpec{Name: "missing", Command: []string{"no-such-program"}})
		require.ErrorContains(t, err, "no-such-program")
	})
	t.Run("no such image", func(t *testing.T) { checkNoImage(t, containerd, pod) })
	t.Run("files are on the store, unreadable for the host", func(t *testing.T) { checkFiles(t, app, guest, volume) })
	t.Run("an ordinary block volume beside the store", func(t *testing.T) { checkBlockVolume(t, pod, data) })
	t.Run("an image is pulled once", func(t *testing.T) { checkSharedLayers(t, pod, guest) })
	t.Run("a stop is a signal", func(t *testing.T) {
		require.NoError(t, app.Stop(t.Context(), 30))
		require.Equal(t, int32(3), exitOf(t, app).GetExitCode())
	})
	t.Run("what a container wrote goes with it", func(t *testing.T) {
		// Kata removes it from the guest as soon as it has ended.
		require.Eventually(t, func() bool {
			return !strings.Contains(guest.Must(t, "ls /run/image/overlay"), app.ID)
		}, time.Minute, 200*time.Millisecond)
		require.NoError(t, app.Remove(t.Context()))
	})
}

// checkLog waits for the lines: containerd writes them as they come.
func checkLog(t *testing.T, c *lab.Container, expected ...string) {
	t.Helper()
	var lines []string
	require.Eventually(t, func() bool {
		var err error
		lines, err = c.Log()
		require.NoError(t, err)
		return len(lines) >= len(expected)
	}, time.Minute, 50*time.Millisecond)
	require.ElementsMatch(t, expected, lines)
}

func checkExec(t *testing.T, app *lab.Container) {
	for _, c := range []struct {
		script, stdout, stderr string
		status                 int32
	}{
		{"echo out; echo err >&2; exit 5", "out\n", "err\n", 5},
		{"kill -TERM $$", "", "", 143},
		{"cat /proc/1/comm", "sh\n", "", 0},
		{"hostname", "containers\n", "", 0},
		{"cat /etc/hostname", "containers\n", "", 0},
		{"grep -c 127.0.0.1 /etc/hosts", "1\n", "", 0},
		{"head -c 300000 /dev/zero | busybox tr '\\0' x", strings.Repeat("x", 300000), "", 0},
	} {
		answer, err := app.Exec(t.Context(), "sh", "-c", c.script)
		require.NoError(t, err, c.script)
		require.Equal(t, c.status, answer.GetExitCode(), c.script)
		require.Equal(t, c.stdout, string(answer.GetStdout()), c.script)
		require.Equal(t, c.stderr, string(answer.GetStderr()), c.script)
	}
}

// checkResources reads, changes and freezes what the container has.
func checkResources(t *testing.T, containerd *lab.Containerd, app *lab.Container, guest lab.Guest) {
	stats, err := app.Stats(t.Context())
	require.NoError(t, err)
	require.Positive(t, stats.GetMemory().GetWorkingSetBytes().GetValue())
	require.Positive(t, stats.GetCpu().GetUsageCoreNanoSeconds().GetValue())

	const limit = 64 << 20
	require.NoError(t, app.Update(t.Context(), &runtime.LinuxContainerResources{MemoryLimitInBytes: limit}))
	require.Equal(t, fmt.Sprintln(limit), guest.Must(t, "cat /sys/fs/cgroup/kubepods/besteffort/*/"+app.ID+"/memory.max"))

	frozen := func() string {
		return strings.TrimSpace(guest.Must(t, "cat /sys/fs/cgroup/kubepods/besteffort/*/"+app.ID+"/cgroup.freeze"))
	}
	_, err = containerd.Ctr("tasks", "pause", app.ID)
	require.NoError(t, err)
	require.Equal(t, "1", frozen())
	_, err = containerd.Ctr("tasks", "resume", app.ID)
	require.NoError(t, err)
	require.Equal(t, "0", frozen())
}

// checkNoImage asks for one that containerd has and the registry has not.
func checkNoImage(t *testing.T, containerd *lab.Containerd, pod *lab.Pod) {
	const image = "docker.io/library/only-on-the-host:latest"
	_, err := containerd.Ctr("images", "tag", lab.Busybox, image)
	require.NoError(t, err)
	// containerd's CRI part hears of the name by an event.
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err = pod.Run(t.Context(), lab.ContainerSpec{Name: "no-image", Image: image})
		assert.ErrorContains(c, err, "failed to pull image "+image)
	}, time.Minute, time.Second)
	t.Logf("the user reads: %v", err)
}

// checkFiles writes a file as the application and looks for it: in the guest
// on the store, on the host nowhere. The same for what the image brought.
func checkFiles(t *testing.T, app *lab.Container, guest lab.Guest, volume lab.Volume) {
	secret := "secret-" + rand.Text()
	answer, err := app.Exec(t.Context(), "sh", "-c", "echo "+secret+" > /root/note && sync && cat /etc/marker")
	require.NoError(t, err)
	require.Zero(t, answer.GetExitCode(), string(answer.GetStderr()))
	marker := strings.TrimSpace(string(answer.GetStdout()))
	require.Contains(t, marker, "marker of the busybox image")

	require.Equal(t, "/run/image/overlay/"+app.ID+"/upperdir/root/note\n", guest.Must(t, "grep -rl "+secret+" /run/image/overlay"))
	require.Contains(t, guest.Must(t, "grep -rl \""+marker+"\" /run/image/layers"), "/etc/marker")
	guest.Must(t, "sync")
	found, err := volume.Search([]byte(secret), []byte(marker), []byte("BusyBox"), []byte("upperdir"))
	require.NoError(t, err)
	require.Empty(t, found.Texts, "readable on the host")
	require.Greater(t, found.Written, 300, "blocks: the images alone are over a megabyte")
}

// checkBlockVolume has stock Kata plug a disk for one container: it reads what
// the host wrote, and the store stays what it is when that disk goes.
func checkBlockVolume(t *testing.T, pod *lab.Pod, data lab.Volume) {
	require.NoError(t, os.WriteFile(data.Path, []byte("written by the host\n"), 0o600))
	host(t, "sync")
	spec := script("data", "head -n 1 /dev/data")
	spec.Devices = []lab.Device{{Host: data.Path, Container: "/dev/data"}}
	c := pod.StartContainer(t, spec)
	require.Zero(t, exitOf(t, c).GetExitCode())
	checkLog(t, c, "stdout written by the host")
	require.NoError(t, c.Remove(t.Context()))
	proposal.CheckListings(t, pod.MustGuest(t))
}

// checkSharedLayers starts two containers of one image at once.
func checkSharedLayers(t *testing.T, pod *lab.Pod, guest lab.Guest) {
	before := guest.Must(t, "ls /run/image/layers")
	var both sync.WaitGroup
	for i := range 2 {
		both.Go(func() {
			if _, err := pod.Run(context.WithoutCancel(t.Context()), script(fmt.Sprint("twin-", i), "sleep 1000")); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	require.Equal(t, before, guest.Must(t, "ls /run/image/layers"))
}
