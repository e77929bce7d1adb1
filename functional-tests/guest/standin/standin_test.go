// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"github.com/stretchr/testify/require"
)

func request(id string, terminal bool, args ...string) *agent.CreateContainerRequest {
	return &agent.CreateContainerRequest{ContainerId: id, ExecId: id, OCI: &agent.Spec{
		Process: &agent.Process{Args: args, Terminal: terminal, Env: []string{"PATH=/usr/bin:/bin"}},
	}}
}

func newTestService(t *testing.T) *service {
	t.Helper()
	records, err := newRecorder(t.TempDir())
	require.NoError(t, err)
	s := newService(records)
	t.Cleanup(s.containers.removeAll)
	return s
}

func TestContainerLife(t *testing.T) {
	for name, c := range map[string]struct {
		terminal bool
		script   string
		signal   uint32
		output   string
		status   int32
	}{
		"exit status":    {script: "echo out; exit 7", output: "out", status: 7},
		"ended by TERM":  {script: "echo up; exec sleep 1000", signal: 15, output: "up", status: 128 + 15},
		"on a terminal":  {terminal: true, script: "test -t 0 && echo terminal", output: "terminal"},
		"killed with it": {script: "sleep 1000 & echo up; wait", signal: 9, output: "up", status: 128 + 9},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestService(t)
			_, err := s.CreateContainer(t.Context(), request("c", c.terminal, "sh", "-c", c.script))
			require.NoError(t, err)
			_, err = s.StartContainer(t.Context(), &agent.StartContainerRequest{ContainerId: "c"})
			require.NoError(t, err)
			read, err := s.ReadStdout(t.Context(), &agent.ReadStreamRequest{ContainerId: "c", ExecId: "c", Len: 100})
			require.NoError(t, err)
			require.Equal(t, c.output, strings.TrimSpace(string(read.Data)))
			if c.signal != 0 {
				_, err = s.SignalProcess(t.Context(), &agent.SignalProcessRequest{ContainerId: "c", ExecId: "c", Signal: c.signal})
				require.NoError(t, err)
			}
			answer, err := s.WaitProcess(t.Context(), &agent.WaitProcessRequest{ContainerId: "c", ExecId: "c"})
			require.NoError(t, err)
			require.Equal(t, c.status, answer.Status)
			_, err = s.RemoveContainer(t.Context(), &agent.RemoveContainerRequest{ContainerId: "c"})
			require.NoError(t, err)
			_, err = s.StartContainer(t.Context(), &agent.StartContainerRequest{ContainerId: "c"})
			require.Error(t, err, "a removed container")
		})
	}
}

func TestExecReadsItsInput(t *testing.T) {
	s := newTestService(t)
	_, err := s.CreateContainer(t.Context(), request("c", false, "sleep", "1000"))
	require.NoError(t, err)
	_, err = s.StartContainer(t.Context(), &agent.StartContainerRequest{ContainerId: "c"})
	require.NoError(t, err)
	_, err = s.ExecProcess(t.Context(), &agent.ExecProcessRequest{ContainerId: "c", ExecId: "e", Process: &agent.Process{Args: []string{"cat"}, Env: []string{"PATH=/bin"}}})
	require.NoError(t, err)
	_, err = s.WriteStdin(t.Context(), &agent.WriteStreamRequest{ContainerId: "c", ExecId: "e", Data: []byte("typed")})
	require.NoError(t, err)
	read, err := s.ReadStdout(t.Context(), &agent.ReadStreamRequest{ContainerId: "c", ExecId: "e", Len: 100})
	require.NoError(t, err)
	require.Equal(t, "typed", string(read.Data))
	_, err = s.CloseStdin(t.Context(), &agent.CloseStdinRequest{ContainerId: "c", ExecId: "e"})
	require.NoError(t, err)
	answer, err := s.WaitProcess(t.Context(), &agent.WaitProcessRequest{ContainerId: "c", ExecId: "e"})
	require.NoError(t, err)
	require.Zero(t, answer.Status)
	_, err = s.ReadStdout(t.Context(), &agent.ReadStreamRequest{ContainerId: "c", ExecId: "e", Len: 100})
	require.Error(t, err, "the end of a stream is an error in Kata's protocol")
}

func TestRemoveOfAContainerThatNeverStarted(t *testing.T) {
	s := newTestService(t)
	_, err := s.CreateContainer(t.Context(), request("c", false, "sleep", "1000"))
	require.NoError(t, err)
	_, err = s.RemoveContainer(t.Context(), &agent.RemoveContainerRequest{ContainerId: "c"})
	require.NoError(t, err)
}

func TestRecord(t *testing.T) {
	s := newTestService(t)
	_, err := s.CreateContainer(t.Context(), request("../c", false, "true"))
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(s.records.folder, "001-c.json"))
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(content), "\n"), "one line, as readers expect")
	var r record
	require.NoError(t, json.Unmarshal(content, &r))
	require.Equal(t, 1, r.Number)
	require.Empty(t, r.Mounts)
	require.Contains(t, string(r.Request), `"../c"`)
}
