// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package runc_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

// action does something with a container of a runtime and says what a user
// saw of it. The container's id is the same for both runtimes, so that texts
// can be compared.
type action struct {
	name string
	do   func(t *testing.T, r *rig, runtime, id string) any
}

var actions = []action{
	{"run", runAndExit},
	{"run with input", runWithInput},
	{"exec", execs},
	{"terminal", onATerminal},
	{"attach", attach},
	{"stats", stats},
	{"processes", processes},
	{"pause and resume", pauseAndResume},
	{"update", update},
	{"kill and wait", killAndWait},
	{"errors", mistakes},
	{"image without the command", badCommand},
}

// TestActionsAreAsWithoutUs does each action with stock runc and through our
// shim.
func TestActionsAreAsWithoutUs(t *testing.T) {
	for _, version := range lab.Versions() {
		t.Run(version.Name, func(t *testing.T) {
			lab.NothingLeft(t)
			r := newRig(t, version)
			for _, a := range actions {
				t.Run(a.name, func(t *testing.T) {
					var seen []any
					for _, runtime := range runtimes {
						t.Run(runtime, func(t *testing.T) {
							seen = append(seen, a.do(t, r, runtime, "the-container"))
						})
					}
					require.Len(t, seen, len(runtimes), "an action failed")
					require.Equal(t, seen[0], seen[1], "without us, and with us")
				})
			}
		})
	}
}

func runAndExit(t *testing.T, r *rig, runtime, id string) any {
	out := r.run(t, append(runOptions(runtime, "--rm", lab.Busybox, id), "sh", "-c", "echo out; echo err >&2; exit 7")...)
	require.Equal(t, output{"out\n", "err\n", 7}, out)
	return out
}

func runWithInput(t *testing.T, r *rig, runtime, id string) any {
	// More than all pipes on the way hold, so that the input ends after the
	// container has started. runc's shim gives up what is left in its pipes two
	// seconds after the exit, which an emulated machine under load may need longer
	// to pass on, without us as well: hence the pause.
	input := strings.Repeat("a line of input\n", 20000)
	out := r.runInput(t, input, append(runOptions(runtime, "--rm", lab.Busybox, id), "sh", "-c", "cat; sleep 5")...)
	require.Equal(t, len(input), len(out.Stdout), "all of a long input comes back, and its end is seen")
	require.Equal(t, input, out.Stdout)
	return out.Status
}

func execs(t *testing.T, r *rig, runtime, id string) any {
	r.detached(t, runtime, id)
	var seen []output
	for _, command := range []string{"echo hello", "exit 3", "kill -9 $$", "cat /proc/1/comm"} {
		seen = append(seen, r.run(t, "tasks", "exec", "--exec-id", "e", id, "sh", "-c", command))
	}
	require.Equal(t, "hello\n", seen[0].Stdout)
	require.Equal(t, 3, seen[1].Status)
	return seen
}

func onATerminal(t *testing.T, r *rig, runtime, id string) any {
	t.Cleanup(func() { r.remove(t, id) })
	term := r.terminal(t, append(runOptions(runtime, "--rm", "--tty", lab.Busybox, id), "sh")...)
	// ctr passes the terminal's size on when the container runs already.
	term.typed("tty; until stty size 2>/dev/null | grep -qx '33 99'; do sleep 0.1; done; echo $((40+2)); exit 5")
	term.shows("/dev/pts/0")
	term.shows("42")
	return term.status()
}

func attach(t *testing.T, r *rig, runtime, id string) any {
	t.Cleanup(func() { r.remove(t, id) })
	first := r.terminal(t, append(runOptions(runtime, "--detach", "--tty", lab.Busybox, id), "sh")...)
	require.Zero(t, first.status())
	term := r.terminal(t, "tasks", "attach", id)
	term.typed("echo $((40+2)); exit 6")
	term.shows("42")
	return term.status()
}

func stats(t *testing.T, r *rig, runtime, id string) any {
	r.detached(t, runtime, id)
	answer, err := r.tasks.Metrics(call(t), &tasks.MetricsRequest{Filters: []string{"id==" + id}})
	require.NoError(t, err)
	require.Len(t, answer.Metrics, 1)
	require.NotEmpty(t, answer.Metrics[0].Data.Value)
	return []string{answer.Metrics[0].ID, answer.Metrics[0].Data.TypeUrl}
}

func processes(t *testing.T, r *rig, runtime, id string) any {
	r.detached(t, runtime, id, "sh", "-c", "sleep 1000 & sleep 1000 & wait")
	n := 0
	await(t, "all processes run", func() bool {
		answer, err := r.tasks.ListPids(call(t), &tasks.ListPidsRequest{ContainerID: id})
		require.NoError(t, err)
		n = len(answer.Processes)
		return n == 3
	})
	return n
}

func pauseAndResume(t *testing.T, r *rig, runtime, id string) any {
	r.detached(t, runtime, id)
	seen := []task.Status{r.status(t, id)}
	_, err := r.tasks.Pause(call(t), &tasks.PauseTaskRequest{ContainerID: id})
	require.NoError(t, err)
	seen = append(seen, r.status(t, id))
	_, err = r.tasks.Resume(call(t), &tasks.ResumeTaskRequest{ContainerID: id})
	require.NoError(t, err)
	seen = append(seen, r.status(t, id))
	require.Equal(t, []task.Status{task.Status_RUNNING, task.Status_PAUSED, task.Status_RUNNING}, seen)
	return seen
}

func update(t *testing.T, r *rig, runtime, id string) any {
	r.detached(t, runtime, id)
	memory, processes := int64(77<<20), int64(55)
	resources, err := json.Marshal(specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &memory}, Pids: &specs.LinuxPids{Limit: &processes}})
	require.NoError(t, err)
	_, err = r.tasks.Update(call(t), &tasks.UpdateTaskRequest{ContainerID: id, Resources: &anypb.Any{
		TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources", Value: resources,
	}})
	require.NoError(t, err)
	answer, err := r.tasks.Get(call(t), &tasks.GetRequest{ContainerID: id})
	require.NoError(t, err)
	membership, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", answer.Process.Pid))
	require.NoError(t, err)
	group := strings.TrimPrefix(strings.TrimSpace(string(membership)), "0::")
	seen := make([]string, 0, 2)
	for _, file := range []string{"memory.max", "pids.max"} {
		content, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", group, file))
		require.NoError(t, err)
		seen = append(seen, strings.TrimSpace(string(content)))
	}
	require.Equal(t, []string{"80740352", "55"}, seen)
	return seen
}

func killAndWait(t *testing.T, r *rig, runtime, id string) any {
	var seen []uint32
	for _, signal := range []uint32{15, 9} {
		r.detached(t, runtime, id, "sh", "-c", "trap 'exit 33' TERM; sleep 100000 & wait")
		await(t, "the trap is set", func() bool {
			answer, err := r.tasks.ListPids(call(t), &tasks.ListPidsRequest{ContainerID: id})
			require.NoError(t, err)
			return len(answer.Processes) == 2
		})
		waited := make(chan uint32, 1)
		failed := make(chan error, 1)
		ctx := call(t)
		go func() {
			answer, err := r.tasks.Wait(ctx, &tasks.WaitRequest{ContainerID: id})
			failed <- err
			waited <- answer.GetExitStatus()
		}()
		_, err := r.tasks.Kill(call(t), &tasks.KillRequest{ContainerID: id, Signal: signal, All: signal == 9})
		require.NoError(t, err)
		require.NoError(t, <-failed)
		seen = append(seen, <-waited)
		answer, err := r.tasks.Delete(call(t), &tasks.DeleteTaskRequest{ContainerID: id})
		require.NoError(t, err)
		seen = append(seen, answer.ExitStatus)
		r.must(t, "containers", "delete", id)
	}
	require.Equal(t, []uint32{33, 33, 137, 137}, seen)
	return seen
}

// mistakes are calls that fail: code and text must be the same.
func mistakes(t *testing.T, r *rig, runtime, id string) any {
	r.detached(t, runtime, id)
	ctx := call(t)
	_, start := r.tasks.Start(ctx, &tasks.StartRequest{ContainerID: id})
	_, resume := r.tasks.Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: id})
	_, noExec := r.tasks.Kill(ctx, &tasks.KillRequest{ContainerID: id, ExecID: "none", Signal: 9})
	_, running := r.tasks.Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
	_, resize := r.tasks.ResizePty(ctx, &tasks.ResizePtyRequest{ContainerID: id, ExecID: "none", Width: 1, Height: 1})
	_, wait := r.tasks.Wait(ctx, &tasks.WaitRequest{ContainerID: id, ExecID: "none"})
	_, checkpoint := r.tasks.Update(ctx, &tasks.UpdateTaskRequest{ContainerID: id, Resources: &anypb.Any{TypeUrl: "no/such.Type", Value: []byte("x")}})
	var seen []string
	for _, err := range []error{start, noExec, running, resize, wait, checkpoint} {
		require.Error(t, err)
		seen = append(seen, status.Code(err).String()+": "+status.Convert(err).Message())
	}
	return append(seen, status.Code(resume).String())
}

func badCommand(t *testing.T, r *rig, runtime, id string) any {
	t.Cleanup(func() { r.remove(t, id) })
	out := r.run(t, append(runOptions(runtime, "--rm", lab.Busybox, id), "no-such-program")...)
	require.NotZero(t, out.Status)
	require.Contains(t, out.Stderr, "no-such-program")
	return out
}
