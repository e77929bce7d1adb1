// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/functional-tests/guest/image"
	"github.com/kata-tes/kata-tes/functional-tests/guest/sandbox"
)

// needRunc skips where containers can't be run for real.
func needRunc(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to run containers")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		t.Skip("needs runc: functional-tests/packages.sh installs it")
	}
	// Containers' processes must become ours, as in the guest.
	require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
}

// newTestService is the stand-in with its folders in a temporary one, and a
// sandbox.
func newTestService(t *testing.T) *service {
	t.Helper()
	folder := t.TempDir()
	records, err := newRecorder(filepath.Join(folder, "records"))
	require.NoError(t, err)
	f := folders{
		base: filepath.Join(folder, "base"), pause: filepath.Join(folder, "pause"),
		namespaces: filepath.Join(folder, "namespaces"), shared: filepath.Join(folder, "shared"),
		state: filepath.Join(folder, "runc"),
	}
	return newService(records, newContainers(f, image.NewStore(filepath.Join(folder, "image"), image.Registries{})))
}

// newTestSandbox is one that can run containers.
func newTestSandbox(t *testing.T) *service {
	t.Helper()
	needRunc(t)
	s := newTestService(t)
	require.NoError(t, s.containers.createSandbox(&agent.CreateSandboxRequest{Hostname: "pod"}))
	t.Cleanup(func() {
		require.NoError(t, s.containers.removeAll(context.Background()))
		require.NoError(t, unix.Unmount(s.containers.namespaces.IPC, 0))
		require.NoError(t, unix.Unmount(s.containers.namespaces.UTS, 0))
	})
	return s
}

// request is for a container whose root has this machine's programs.
func request(t *testing.T, s *service, id string, terminal bool, args ...string) *agent.CreateContainerRequest {
	t.Helper()
	rootfs := filepath.Join(s.containers.folders.base, id, "rootfs")
	require.NoError(t, os.MkdirAll(rootfs, 0o755))
	for _, name := range []string{"bin", "lib", "lib64"} {
		require.NoError(t, os.Symlink("usr/"+name, filepath.Join(rootfs, name)))
	}
	spec, err := agent.OCItoGRPC(&specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{
			Terminal: terminal, Args: args, Env: []string{"PATH=/usr/bin:/bin"}, Cwd: "/",
			Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Effective: []string{"CAP_KILL"}, Permitted: []string{"CAP_KILL"}},
		},
		Root: &specs.Root{Path: rootfs},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666"}},
			{Destination: "/usr", Type: "bind", Source: "/usr", Options: []string{"rbind", "ro"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{{Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace}},
		},
	})
	require.NoError(t, err)
	return &agent.CreateContainerRequest{ContainerId: id, ExecId: id, OCI: spec}
}

func create(t *testing.T, s *service, id string, terminal bool, args ...string) {
	t.Helper()
	_, err := s.CreateContainer(t.Context(), request(t, s, id, terminal, args...))
	require.NoError(t, err)
	_, err = s.StartContainer(t.Context(), &agent.StartContainerRequest{ContainerId: id})
	require.NoError(t, err)
}

func readOutput(t *testing.T, s *service, id, execID string) string {
	t.Helper()
	read, err := s.ReadStdout(t.Context(), &agent.ReadStreamRequest{ContainerId: id, ExecId: execID, Len: 100})
	require.NoError(t, err)
	return strings.TrimSpace(string(read.Data))
}

func waitFor(t *testing.T, s *service, id, execID string) int32 {
	t.Helper()
	answer, err := s.WaitProcess(t.Context(), &agent.WaitProcessRequest{ContainerId: id, ExecId: execID})
	require.NoError(t, err)
	return answer.Status
}

func TestContainerLife(t *testing.T) {
	for name, c := range map[string]struct {
		terminal bool
		script   string
		signal   uint32
		all      bool
		output   string
		status   int32
	}{
		"exit status":             {script: "echo out; exit 7", output: "out", status: 7},
		"the pod's hostname":      {script: "cat /proc/sys/kernel/hostname", output: "pod"},
		"TERM handled":            {script: "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done", signal: 15, output: "up", status: 3},
		"TERM not handled":        {script: "echo up; exec sleep 1000", signal: 15, output: "up", status: 128 + 9},
		"on a terminal":           {terminal: true, script: "test -t 0 && echo terminal", output: "terminal"},
		"killed with what it has": {script: "sleep 1000 & echo up; wait", signal: 9, all: true, output: "up", status: 128 + 9},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestSandbox(t)
			create(t, s, "c", c.terminal, "sh", "-c", c.script)
			require.Equal(t, c.output, readOutput(t, s, "c", "c"))
			if c.signal != 0 {
				execID := "c"
				if c.all {
					execID = ""
				}
				_, err := s.SignalProcess(t.Context(), &agent.SignalProcessRequest{ContainerId: "c", ExecId: execID, Signal: c.signal})
				require.NoError(t, err)
			}
			require.Equal(t, c.status, waitFor(t, s, "c", "c"))
			_, err := s.RemoveContainer(t.Context(), &agent.RemoveContainerRequest{ContainerId: "c"})
			require.NoError(t, err)
			require.NoDirExists(t, filepath.Join(s.containers.folders.base, "c"))
			_, err = s.StartContainer(t.Context(), &agent.StartContainerRequest{ContainerId: "c"})
			require.Error(t, err, "a removed container")
		})
	}
}

func TestExec(t *testing.T) {
	s := newTestSandbox(t)
	create(t, s, "c", false, "sleep", "1000")
	run := func(execID string, args ...string) {
		t.Helper()
		_, err := s.ExecProcess(t.Context(), &agent.ExecProcessRequest{
			ContainerId: "c", ExecId: execID, Process: &agent.Process{Args: args, Env: []string{"PATH=/bin"}, Cwd: "/"},
		})
		require.NoError(t, err)
	}

	t.Run("reads its input", func(t *testing.T) {
		run("e", "cat")
		_, err := s.WriteStdin(t.Context(), &agent.WriteStreamRequest{ContainerId: "c", ExecId: "e", Data: []byte("typed")})
		require.NoError(t, err)
		require.Equal(t, "typed", readOutput(t, s, "c", "e"))
		_, err = s.CloseStdin(t.Context(), &agent.CloseStdinRequest{ContainerId: "c", ExecId: "e"})
		require.NoError(t, err)
		require.Zero(t, waitFor(t, s, "c", "e"))
		_, err = s.ReadStdout(t.Context(), &agent.ReadStreamRequest{ContainerId: "c", ExecId: "e", Len: 100})
		require.Error(t, err, "the end of a stream is an error in Kata's protocol")
	})
	t.Run("in the container", func(t *testing.T) {
		run("ps", "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline")
		require.Equal(t, "sleep 1000", readOutput(t, s, "c", "ps"))
	})
	t.Run("ended by a signal", func(t *testing.T) {
		run("s", "sleep", "1000")
		_, err := s.SignalProcess(t.Context(), &agent.SignalProcessRequest{ContainerId: "c", ExecId: "s", Signal: 15})
		require.NoError(t, err)
		require.Equal(t, int32(128+15), waitFor(t, s, "c", "s"))
	})
	t.Run("no such program", func(t *testing.T) {
		_, err := s.ExecProcess(t.Context(), &agent.ExecProcessRequest{
			ContainerId: "c", ExecId: "n", Process: &agent.Process{Args: []string{"no-such-program"}, Env: []string{"PATH=/bin"}, Cwd: "/"},
		})
		require.ErrorContains(t, err, "no-such-program")
	})
}

func TestRemoveOfAContainerThatNeverStarted(t *testing.T) {
	s := newTestSandbox(t)
	_, err := s.CreateContainer(t.Context(), request(t, s, "c", false, "sleep", "1000"))
	require.NoError(t, err)
	_, err = s.RemoveContainer(t.Context(), &agent.RemoveContainerRequest{ContainerId: "c"})
	require.NoError(t, err)
}

func TestFailedCreateLeavesNothing(t *testing.T) {
	s := newTestSandbox(t)
	_, err := s.CreateContainer(t.Context(), request(t, s, "c", false, "no-such-program"))
	require.ErrorContains(t, err, "no-such-program", "what runc said reaches the user")
	require.NoDirExists(t, filepath.Join(s.containers.folders.base, "c"))
	create(t, s, "c", false, "sleep", "1000")
}

func TestRecord(t *testing.T) {
	s := newTestService(t)
	_, err := s.CreateContainer(t.Context(), &agent.CreateContainerRequest{ContainerId: "../c"})
	require.Error(t, err, "not the id of a container")
	content, err := os.ReadFile(filepath.Join(s.records.folder, "001-c.json"))
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(content), "\n"), "one line, as readers expect")
	var r record
	require.NoError(t, json.Unmarshal(content, &r))
	require.Equal(t, 1, r.Number)
	require.Empty(t, r.Mounts)
	require.Contains(t, string(r.Request), `"../c"`)
}

func TestCopyFile(t *testing.T) {
	s := newTestService(t)
	folder := s.containers.folders.shared
	copyFile := func(r *agent.CopyFileRequest) error {
		r.Uid, r.Gid = int32(os.Getuid()), int32(os.Getgid())
		_, err := s.CopyFile(t.Context(), r)
		return err
	}
	require.Equal(t, "/run/kata-containers/shared/containers", sandbox.SharedFolder, "Kata's runtime has it too")

	path := filepath.Join(folder, "volume", "file")
	require.NoError(t, copyFile(&agent.CopyFileRequest{Path: path, FileSize: 8, FileMode: unix.S_IFREG | 0o640, Data: []byte("half")}))
	require.NoFileExists(t, path, "a part is not the file")
	require.NoError(t, copyFile(&agent.CopyFileRequest{Path: path, FileSize: 8, FileMode: unix.S_IFREG | 0o640, Offset: 4, Data: []byte("file")}))
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "halffile", string(content))

	link := filepath.Join(folder, "volume", "link")
	for _, target := range []string{"file", "other"} {
		require.NoError(t, copyFile(&agent.CopyFileRequest{Path: link, FileMode: unix.S_IFLNK, Data: []byte(target)}))
		got, err := os.Readlink(link)
		require.NoError(t, err)
		require.Equal(t, target, got)
	}
	require.NoError(t, copyFile(&agent.CopyFileRequest{Path: filepath.Join(folder, "folder"), FileMode: unix.S_IFDIR | 0o755}))
	require.DirExists(t, filepath.Join(folder, "folder"))

	require.Error(t, copyFile(&agent.CopyFileRequest{Path: filepath.Join(folder, "../escaped"), FileMode: unix.S_IFREG}))
	require.NoError(t, os.Symlink("/", filepath.Join(folder, "way-out")))
	require.Error(t, copyFile(&agent.CopyFileRequest{Path: filepath.Join(folder, "way-out/tmp/escaped"), FileMode: unix.S_IFREG}))
}
