// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	task2 "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

const service = "containerd.task.v2.Task"

func TestStartForwardsAndReplacesOnlyTheAddress(t *testing.T) {
	for mode, address := range map[string]func(out string) string{
		"plain": func(out string) string { return out },
		"json": func(out string) string {
			var all map[string]any
			require.NoError(t, json.Unmarshal([]byte(out), &all))
			require.Equal(t, map[string]any{"version": 3.0, "address": all["address"], "protocol": "ttrpc", "future": []any{1.0, 2.0}}, all)
			return all["address"].(string)
		},
		"protobuf": func(out string) string {
			var r bootapi.BootstrapResult
			require.NoError(t, proto.Unmarshal([]byte(out), &r))
			require.True(t, proto.Equal(&r, &bootapi.BootstrapResult{Version: 3, Address: r.Address, Protocol: "ttrpc", Metadata: map[string]string{"k": "v"}}))
			return r.Address
		},
	} {
		t.Run(mode, func(t *testing.T) {
			n := newNode(t)
			n.mode = mode
			ours := address(n.mustStart("sandbox", "sandbox"))
			require.True(t, strings.HasPrefix(ours, "unix://"+n.path("s")+"/"))
			written, err := os.ReadFile(n.path("bundles", "sandbox", "address"))
			require.NoError(t, err)
			require.Equal(t, ours, string(written), "for a containerd that is restarted")
			require.Equal(t, []string{"sandbox"}, n.list("run"))
			require.Len(t, n.processes("inner"), 1)
			require.Len(t, n.processes("ours"), 1)

			info, err := os.Stat(strings.TrimPrefix(ours, "unix://"))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

			c := n.client(ours)
			var state task2.StateResponse
			require.NoError(t, c.Call(t.Context(), service, "State", &task2.StateRequest{ID: "x"}, &state))
			require.EqualValues(t, n.processes("inner")[0], state.Pid)

			require.NoError(t, c.Call(t.Context(), service, "Shutdown", &task2.ShutdownRequest{}, &emptypb.Empty{}))
			n.awaitNothing("after Shutdown")
		})
	}
}

func TestTheInnerShimGetsWhatContainerdGave(t *testing.T) {
	n := newNode(t)
	n.mustStart("sandbox", "sandbox")
	got := n.noted("start-sandbox")
	require.Equal(t, []string{"-namespace", "ns", "-address", "/c.sock", "-publish-binary", "/bin/containerd", "-id", "sandbox", "start"}, got.Args)
	require.Equal(t, n.path("bundles", "sandbox"), got.Cwd)
	require.Equal(t, string(kataInput(t, "")), got.Stdin)
	require.ElementsMatch(t, append(n.env, "TEST_INNER="), got.Env[:len(got.Env)])
}

func TestAFurtherContainerJoinsThePod(t *testing.T) {
	n := newNode(t)
	ours := n.mustStart("sandbox", "sandbox")
	require.Equal(t, ours, n.mustStart("container", "sandbox"))
	require.Len(t, n.processes("ours"), 1)
	require.Len(t, n.processes("inner"), 1)
	require.Equal(t, []string{"sandbox"}, n.list("run"))

	out, err := n.delete("container")
	require.NoError(t, err)
	require.Equal(t, "deleted container", out)
	require.Len(t, n.processes("all"), 2, "the pod lives on")
	require.Equal(t, ours, n.mustStart("another", "sandbox"))
}

func TestTheHookIsAskedAndLogs(t *testing.T) {
	n := newNode(t)
	b := n.bundle("sandbox", "sandbox")
	fifo := readFIFO(t, filepath.Join(b, "log"))
	c := n.client(n.mustStart("sandbox", "sandbox"))
	err := c.Call(t.Context(), service, "Create", &task2.CreateTaskRequest{ID: "refused", Bundle: "/b"}, &task2.CreateTaskResponse{})
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
	require.Equal(t, "not this one", status.Convert(err).Message())
	require.NoError(t, c.Call(t.Context(), service, "Create", &task2.CreateTaskRequest{ID: "fine", Bundle: "/b"}, &task2.CreateTaskResponse{}))
	n.await("the log arrives", func() bool {
		text := fifo()
		return strings.Contains(text, "asked for refused") && strings.Contains(text, "sandbox=sandbox") && strings.Contains(text, "bundle=/b")
	})
}

func TestAFailedStartLeavesNothing(t *testing.T) {
	for mode, reason := range map[string]string{
		"silent": "the reason on standard error",
		"half":   "failed half the way",
		"grpc":   "only ttrpc can be forwarded",
		"dead":   "nobody answers there",
	} {
		t.Run(mode, func(t *testing.T) {
			n := newNode(t)
			n.mode = mode
			_, err := n.start("sandbox", "sandbox")
			require.ErrorContains(t, err, reason)
			require.ErrorContains(t, err, "inner shim")
			n.await("no process is left", func() bool { return len(n.processes("all")) == 0 })
			require.Empty(t, n.list("run"))
			require.NoFileExists(t, n.path("bundles", "sandbox", recordFile))

			n.mode = "plain"
			n.mustStart("sandbox", "sandbox")
		})
	}
	t.Run("hook", func(t *testing.T) {
		n := newNode(t)
		n.env = append(n.env, "TEST_HOOK=fail")
		_, err := n.start("sandbox", "sandbox")
		require.ErrorContains(t, err, "starting the serving process: preparing for Create: no hook today")
		n.awaitNothing("after a failed start")
		require.Equal(t, []string{
			"-namespace", "ns", "-address", "/c.sock", "-publish-binary", "/bin/containerd", "-id", "sandbox",
			"-bundle", n.path("bundles", "sandbox"), "delete",
		}, n.noted("delete-sandbox").Args)
	})
	t.Run("configuration", func(t *testing.T) {
		n := newNode(t)
		n.configure("[defaults]\ninner_shim = \"/nowhere/shim\"\n")
		_, err := n.start("sandbox", "sandbox")
		require.ErrorContains(t, err, "config.toml")
		require.ErrorContains(t, err, "inner_shim")
		n.awaitNothing("after a failed start")
	})
}

func TestAKilledInnerShim(t *testing.T) {
	n := newNode(t)
	n.mustStart("sandbox", "sandbox")
	n.kill("inner")
	n.awaitNothing("after the inner shim was killed")
	out, err := n.delete("sandbox")
	require.NoError(t, err)
	require.Equal(t, "deleted sandbox", out)
	require.NotEmpty(t, n.noted("delete-sandbox").Env)

	_, err = n.start("container", "sandbox")
	require.ErrorContains(t, err, "nobody answers there")
}

func TestOurKilledProcess(t *testing.T) {
	n := newNode(t)
	n.mustStart("sandbox", "sandbox")
	n.mustStart("container", "sandbox")
	n.kill("ours")
	require.Len(t, n.processes("inner"), 1, "the inner shim is not concerned")

	_, err := n.start("late", "sandbox")
	require.ErrorContains(t, err, "unavailable")
	require.Empty(t, n.processes("ours"), "no process without memory takes its place")

	out, err := n.delete("container")
	require.NoError(t, err)
	require.Equal(t, "deleted container", out)
	require.Empty(t, n.processes("inner"), "nobody can reach it any more")
	out, err = n.delete("sandbox")
	require.NoError(t, err)
	require.Equal(t, "deleted sandbox", out)
	n.awaitNothing("after delete")
	n.mustStart("sandbox", "sandbox")
}

func TestTheSameSandboxAgainAfterACrash(t *testing.T) {
	n := newNode(t)
	ours := n.mustStart("sandbox", "sandbox")
	n.kill("ours")
	n.kill("inner")
	require.Equal(t, ours, n.mustStart("sandbox", "sandbox"), "what the crash left is no obstacle")
	var state task2.StateResponse
	require.NoError(t, n.client(ours).Call(t.Context(), service, "State", &task2.StateRequest{}, &state))
}

func TestDeleteEndsALivingSandbox(t *testing.T) {
	for _, mode := range []string{"plain", "delete fails"} {
		t.Run(mode, func(t *testing.T) {
			n := newNode(t)
			n.mustStart("sandbox", "sandbox")
			n.mode = mode
			_, err := n.delete("sandbox")
			if mode == "plain" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "cannot delete")
			}
			n.awaitNothing("after delete")
		})
	}
}

// newMachine is that of the sandbox `sandbox`, as Kata starts it. It ends by
// itself, unkilled, when the test fails.
func newMachine(t *testing.T) *exec.Cmd {
	t.Helper()
	machine := exec.Command("sh", "-c", "for i in $(seq 200); do sleep 0.1; done", "qemu", "-name", "sandbox-sandbox,debug-threads=on")
	require.NoError(t, machine.Start())
	return machine
}

// A virtual machine whose shims were killed, and whose inner `delete` does not
// come to an end in time, holds the pod's volume.
func TestDeleteEndsTheVirtualMachine(t *testing.T) {
	n := newNode(t)
	n.mustStart("sandbox", "sandbox")
	machine := newMachine(t)
	other := exec.Command("sh", "-c", "for i in $(seq 200); do sleep 0.1; done", "qemu", "-name", "sandbox-sandbox2")
	require.NoError(t, other.Start())

	n.mode = "delete fails"
	_, err := n.delete("sandbox")
	require.ErrorContains(t, err, "cannot delete")
	require.ErrorContains(t, machine.Wait(), "killed")
	require.NoError(t, other.Process.Signal(syscall.Signal(0)), "another sandbox's")
	require.NoError(t, other.Process.Kill())
	require.ErrorContains(t, other.Wait(), "killed")
	n.awaitNothing("after delete")
}

func TestDeleteOfWhatNeverStarted(t *testing.T) {
	n := newNode(t)
	n.bundle("sandbox", "sandbox")
	out, err := n.delete("sandbox")
	require.NoError(t, err)
	require.Equal(t, "deleted sandbox", out)
}

// containerd kills a `start` that takes too long, and then asks for `delete`.
func TestDeleteAfterAKilledStart(t *testing.T) {
	n := newNode(t)
	n.mustStart("sandbox", "sandbox")
	n.kill("ours")
	b := n.path("bundles", "sandbox")
	r, err := readRecord(b)
	require.NoError(t, err)
	// As it is right after the inner shim's start.
	require.NoError(t, record{InnerShim: r.InnerShim}.write(b))
	require.NoError(t, os.WriteFile(filepath.Join(b, "address"), []byte(r.Inner), 0o600))
	out, err := n.delete("sandbox")
	require.NoError(t, err)
	require.Equal(t, "deleted sandbox", out)
	n.awaitNothing("after delete")
}

func TestTheConfigurationOfTheKataFile(t *testing.T) {
	n := newNode(t)
	n.configure("[defaults]\ninner_shim = \"/bin/false\"\n[[runtime]]\nconfig_path = \"/kata.toml\"\ninner_shim = " + strconv.Quote(n.inner()))
	_, err := n.start("sandbox", "sandbox")
	require.ErrorContains(t, err, "/bin/false")
	for name, input := range map[string][]byte{"1.x": kataInput(t, "/kata.toml"), "2.3": bootstrapInput(t, "/kata.toml")} {
		_, err = n.run(n.bundle(name, name), input, "-namespace", "ns", "-id", name, "start")
		require.NoError(t, err, name)
	}
	n.env = append(n.env, "KATA_CONF_FILE=/kata.toml")
	n.mustStart("by-environment", "by-environment")
}

func TestTwoSandboxes(t *testing.T) {
	n := newNode(t)
	one, two := n.mustStart("one", "one"), n.mustStart("two", "two")
	require.NotEqual(t, one, two)
	_, err := n.delete("one")
	require.NoError(t, err)
	var state task2.StateResponse
	require.NoError(t, n.client(two).Call(t.Context(), service, "State", &task2.StateRequest{}, &state))
	require.Equal(t, []string{"two"}, n.list("run"))
}

func TestSignalsDoNotEndTheServingProcess(t *testing.T) {
	n := newNode(t)
	ours := n.mustStart("sandbox", "sandbox")
	pid := n.processes("ours")[0]
	for _, s := range []os.Signal{os.Interrupt, sigterm, sighup} {
		p, err := os.FindProcess(pid)
		require.NoError(t, err)
		require.NoError(t, p.Signal(s))
	}
	var state task2.StateResponse
	require.NoError(t, n.client(ours).Call(t.Context(), service, "State", &task2.StateRequest{}, &state))
	require.Equal(t, []int{pid}, n.processes("ours"))
}

func TestTheServingProcessKeepsNothingOpen(t *testing.T) {
	n := newNode(t)
	n.mustStart("sandbox", "sandbox")
	pid := n.processes("ours")[0]
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	require.NoError(t, err)
	require.Equal(t, "/", cwd)
	for fd := range 3 {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		require.NoError(t, err)
		require.Equal(t, "/dev/null", target)
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	require.NoError(t, err)
	for _, e := range entries {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name()))
		require.NoError(t, err)
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 9 {
			continue // the test's own environment left it open for everybody
		}
		require.NotContains(t, target, "pipe:", "descriptor %s: the way back to start is closed", e.Name())
	}
}

func TestInfoAndVersion(t *testing.T) {
	n := newNode(t)
	out, err := n.run("/", kataInput(t, "/c.toml"), "-info")
	require.NoError(t, err)
	require.Equal(t, "info about "+string(kataInput(t, "/c.toml")), out)
	out, err = n.run("/", nil, "-v")
	require.NoError(t, err)
	require.Contains(t, out, "Version:  test")
}

func TestUsage(t *testing.T) {
	n := newNode(t)
	for _, args := range [][]string{{}, {"-id", "x", "start"}, {"-namespace", "n", "-id", "x", "restart"}, {"-future", "-namespace", "n", "-id", "x", "start"}, {"-namespace", "n", "-id", "x"}} {
		_, err := n.run("/", nil, args...)
		require.ErrorContains(t, err, "started by containerd", "%q", args)
	}
}
