// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package runc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

// TestRestartOfContainerd shows that containers run on, and can be used and
// ended afterwards.
func TestRestartOfContainerd(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for _, kill := range []bool{false, true} {
			for _, runtime := range runtimes {
				t.Run(fmt.Sprintf("%s killed=%t", runtime, kill), func(t *testing.T) {
					r.detached(t, runtime, "survivor")
					require.NoError(t, r.containerd.Restart(kill))
					require.Equal(t, task.Status_RUNNING, r.status(t, "survivor"))
					out := r.run(t, "tasks", "exec", "--exec-id", "e", "survivor", "echo", "still here")
					require.Equal(t, output{"still here\n", "", 0}, out)
					_, err := r.tasks.Kill(call(t), &tasks.KillRequest{ContainerID: "survivor", Signal: 9})
					require.NoError(t, err)
					answer, err := r.tasks.Wait(call(t), &tasks.WaitRequest{ContainerID: "survivor"})
					require.NoError(t, err)
					require.EqualValues(t, 137, answer.ExitStatus)
				})
			}
		}
	})
}

// TestTwentyContainersAtOnce starts, uses and ends them together.
func TestTwentyContainersAtOnce(t *testing.T) {
	const many = 20
	each(t, func(t *testing.T, r *rig) {
		var wg sync.WaitGroup
		seen := make([]output, many)
		for i := range many {
			id := fmt.Sprintf("one-of-many-%d", i)
			// Removed already, unless something failed.
			t.Cleanup(func() {
				if t.Failed() {
					r.remove(t, id)
				}
			})
			wg.Go(func() {
				seen[i] = r.run(t, append(runOptions(runtimes[1], "--rm", lab.Busybox, id), "sh", "-c", fmt.Sprintf("echo %d; exit %d", i, i))...)
			})
		}
		wg.Wait()
		for i, out := range seen {
			require.Equal(t, output{fmt.Sprintf("%d\n", i), "", i}, out)
		}
	})
}

// TestKilledShims kills the inner shim, and ours: containerd sees the end of
// the task as it does without us, and cleans up.
func TestKilledShims(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		seen := make(map[string]uint32)
		left := make(map[string]int)
		for name, victim := range map[string]struct{ runtime, program string }{
			"stock":      {runtimes[0], runcShim},
			"inner shim": {runtimes[1], runcShim},
			"our shim":   {runtimes[1], ourShim},
		} {
			t.Run(name, func(t *testing.T) {
				const id = "victim"
				before := sockets(t)
				r.detached(t, victim.runtime, id)
				ours := ourSocket(t, id)
				ctx := call(t)
				exited := make(chan uint32, 1)
				go func() {
					answer, err := r.tasks.Wait(ctx, &tasks.WaitRequest{ContainerID: id})
					if err != nil {
						answer = &tasks.WaitResponse{ExitStatus: 1000}
					}
					exited <- answer.ExitStatus
				}()
				shims := shimsOf(t, victim.program, id)
				require.Len(t, shims, 1)
				require.NoError(t, unix.Kill(shims[0].PID, unix.SIGKILL))
				<-exited
				await(t, "the task is gone or stopped", func() bool {
					answer, err := r.tasks.Get(call(t), &tasks.GetRequest{ContainerID: id})
					return err != nil || answer.Process.Status == task.Status_STOPPED
				})
				await(t, "both shims are gone", func() bool {
					return len(shimsOf(t, ourShim, id))+len(shimsOf(t, runcShim, id)) == 0
				})
				await(t, "the container's process is gone", func() bool {
					left, err := lab.Processes(func(p lab.Process) bool { return strings.Join(p.Args, " ") == "sleep 100000" })
					require.NoError(t, err)
					return len(left) == 0
				})
				r.remove(t, id)
				left[name] = removeRuncsSockets(t, before, ours)
				require.NoDirExists(t, filepath.Join("/run/kata-tes", id))
				// The name can be used again at once.
				r.detached(t, victim.runtime, id)
				seen[name] = uint32(r.status(t, id))
			})
		}
		require.Len(t, seen, 3)
		require.Equal(t, seen["stock"], seen["inner shim"])
		require.Equal(t, seen["stock"], seen["our shim"])
		require.LessOrEqual(t, left["inner shim"], left["stock"])
		require.LessOrEqual(t, left["our shim"], left["stock"])
	})
}

// sockets are the shims' on the node.
func sockets(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("/run/containerd/s/*")
	require.NoError(t, err)
	return found
}

// ourSocket is where our process for a container listens, by what `start` left
// for `delete`; empty without us.
func ourSocket(t *testing.T, id string) string {
	t.Helper()
	found, err := filepath.Glob("/run/containerd*/io.containerd.runtime.v2.task/*/" + id + "/kata-tes.json")
	require.NoError(t, err)
	if len(found) == 0 {
		return ""
	}
	content, err := os.ReadFile(found[0])
	require.NoError(t, err)
	var record struct{ Outer string }
	require.NoError(t, json.Unmarshal(content, &record))
	return strings.TrimPrefix(record.Outer, "unix://")
}

// TestPod is a pod over CRI: its containers share one process of ours.
func TestPod(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for _, handler := range []string{lab.Runc, lab.RuncTes} {
			t.Run(handler, func(t *testing.T) {
				lab.NothingLeft(t)
				pod := r.containerd.StartPod(t, lab.PodSpec{Name: "pod", Handler: handler})
				for i := range 3 {
					c := pod.StartContainer(t, lab.ContainerSpec{Name: fmt.Sprintf("c%d", i)})
					answer, err := c.Exec(t.Context(), "sh", "-c", "echo hello; exit 4")
					require.NoError(t, err)
					require.Equal(t, "hello\n", string(answer.Stdout))
					require.EqualValues(t, 4, answer.ExitCode)
				}
				want := 0
				if handler == lab.RuncTes {
					want = 1
				}
				require.Len(t, shimsOf(t, ourShim, pod.ID), want)
				require.Len(t, shimsOf(t, runcShim, pod.ID), 1)
				require.NoError(t, r.containerd.Restart(true))
				c := pod.StartContainer(t, lab.ContainerSpec{Name: "after-restart"})
				require.NoError(t, c.Stop(t.Context(), 0))
				require.NoError(t, c.Remove(t.Context()))
				require.NoError(t, pod.Remove(context.Background()))
			})
		}
	})
}

// TestPodWhoseShimIsKilled shows that no container joins a pod whose process
// was killed, and that the pod can be removed, with a retry as the kubelet
// does: containerd 2 refuses at first, without us too.
func TestPodWhoseShimIsKilled(t *testing.T) {
	each(t, func(t *testing.T, r *rig) {
		for handler, program := range map[string]string{lab.Runc: runcShim, lab.RuncTes: ourShim} {
			t.Run(handler, func(t *testing.T) {
				before := sockets(t)
				pod := r.containerd.StartPod(t, lab.PodSpec{Name: "pod", Handler: handler})
				ours := ourSocket(t, pod.ID)
				pod.StartContainer(t, lab.ContainerSpec{Name: "app"})
				shim, err := pod.Shim(program)
				require.NoError(t, err)
				require.NoError(t, unix.Kill(shim.PID, unix.SIGKILL))
				await(t, "containerd has noticed", func() bool {
					ready, err := pod.Ready(t.Context())
					require.NoError(t, err)
					return !ready
				})
				_, err = pod.Run(t.Context(), lab.ContainerSpec{Name: "late"})
				require.Error(t, err)
				await(t, "the pod is removed", func() bool {
					err := pod.Remove(t.Context())
					if err != nil {
						t.Log(err)
						time.Sleep(time.Second) // the kubelet waits, too
					}
					return err == nil
				})
				require.Empty(t, shimsOf(t, runcShim, pod.ID), "the inner shim went with the pod")
				require.NoDirExists(t, filepath.Join("/run/kata-tes", pod.ID))
				removeRuncsSockets(t, before, ours)
			})
		}
	})
}

// removeRuncsSockets removes those that runc's shim leaves when it is killed,
// and says how many there were. Ours must not be among them.
func removeRuncsSockets(t *testing.T, before []string, ours string) int {
	t.Helper()
	removed := 0
	for _, path := range sockets(t) {
		if !slices.Contains(before, path) {
			require.NotEqual(t, ours, path, "our socket is left")
			require.NoError(t, os.Remove(path))
			removed++
		}
	}
	return removed
}

// each runs a test on each containerd and looks for leftovers.
func each(t *testing.T, test func(t *testing.T, r *rig)) {
	for _, version := range lab.Versions() {
		t.Run(version.Name, func(t *testing.T) {
			lab.NothingLeft(t)
			test(t, newRig(t, version))
		})
	}
}
