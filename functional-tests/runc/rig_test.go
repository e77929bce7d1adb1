// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package runc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

const (
	// limit is how long anything may take on an emulated cpu: one container
	// takes two to three seconds, and twenty share it.
	limit = 4 * time.Minute
	// namespace is that of the images which the lab imports.
	namespace = "k8s.io"

	ourShim  = "containerd-shim-kata-tes-v2"
	runcShim = "containerd-shim-runc-v2"
)

// runtimes are the two that are compared: without us, and with us.
var runtimes = []string{"io.containerd.runc.v2", "io.containerd.kata-tes.v2"}

// rig is a containerd and the way to its task service.
type rig struct {
	containerd *lab.Containerd
	ctr        string
	tasks      tasks.TasksClient
}

func newRig(t *testing.T, v lab.Version) *rig {
	t.Helper()
	r := &rig{containerd: lab.StartContainerd(t, v)}
	running, err := lab.Processes(lab.ByName("containerd"))
	require.NoError(t, err)
	require.Len(t, running, 1)
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", running[0].PID))
	require.NoError(t, err)
	r.ctr = filepath.Join(filepath.Dir(program), "ctr")

	conn, err := grpc.NewClient("unix://"+v.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	r.tasks = tasks.NewTasksClient(conn)
	return r
}

// call is a context for a call of the task service.
func call(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "containerd-namespace", namespace)
}

// output is what a program printed and how it ended.
type output struct {
	Stdout, Stderr string
	Status         int
}

// run runs ctr. A deprecation warning of containerd 2 about cgroups is not
// part of what is compared.
func (r *rig) run(t *testing.T, args ...string) output {
	t.Helper()
	return r.runInput(t, "", args...)
}

func (r *rig) runInput(t *testing.T, input string, args ...string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.ctr, append([]string{"--address", r.containerd.Socket(), "--namespace", namespace}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("ctr %q: %v", args, err)
	}
	require.NoError(t, ctx.Err(), "ctr %q: %s", args, stderr.String())
	return output{stdout.String(), withoutWarnings(stderr.String()), cmd.ProcessState.ExitCode()}
}

func withoutWarnings(text string) string {
	var kept []string
	for _, line := range strings.SplitAfter(text, "\n") {
		if !strings.Contains(line, "level=warning") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func (r *rig) must(t *testing.T, args ...string) string {
	t.Helper()
	out := r.run(t, args...)
	require.Zero(t, out.Status, "ctr %q: %+v", args, out)
	return out.Stdout
}

// runOptions begin a `ctr run`.
func runOptions(runtime string, flags ...string) []string {
	return append([]string{"run", "--runtime", runtime}, flags...)
}

// detached starts a container that is removed when the test ends.
func (r *rig) detached(t *testing.T, runtime, id string, command ...string) {
	t.Helper()
	if len(command) == 0 {
		command = []string{"sleep", "100000"}
	}
	r.must(t, append(runOptions(runtime, "--detach", lab.Busybox, id), command...)...)
	t.Cleanup(func() { r.remove(t, id) })
}

// remove removes a container with its task, if they are there.
func (r *rig) remove(t *testing.T, id string) {
	t.Helper()
	r.run(t, "tasks", "kill", "--signal", "SIGKILL", id)
	r.run(t, "tasks", "delete", "--force", id)
	out := r.run(t, "containers", "delete", id)
	if out.Status != 0 {
		require.Contains(t, out.Stderr, "not found")
	}
}

func (r *rig) status(t *testing.T, id string) task.Status {
	t.Helper()
	answer, err := r.tasks.Get(call(t), &tasks.GetRequest{ContainerID: id})
	require.NoError(t, err)
	return answer.Process.Status
}

// await waits until something holds that nobody tells.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for until := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// shimsOf are the serving processes of a container's sandbox.
func shimsOf(t *testing.T, program, id string) []lab.Process {
	t.Helper()
	found, err := lab.Processes(func(p lab.Process) bool {
		if p.Name != program {
			return false
		}
		for i, argument := range p.Args {
			if argument == "-id" && i+1 < len(p.Args) && p.Args[i+1] == id {
				return true
			}
		}
		return false
	})
	require.NoError(t, err)
	return found
}
