// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// limit is how long anything may take that should be at once.
const limit = 20 * time.Second

// node is a place with everything that belongs to a node.
type node struct {
	t    *testing.T
	dir  string
	env  []string
	mode string
	// program is our shim.
	program string
}

func newNode(t *testing.T) *node {
	t.Helper()
	// Short: sockets have short paths.
	dir, err := os.MkdirTemp("", "bs")
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	n := &node{t: t, dir: dir, program: self}
	for _, folder := range []string{"s", "notes", "bundles"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, folder), 0o700))
	}
	require.NoError(t, os.Symlink(self, n.inner()))
	n.configure("[defaults]\ninner_shim = " + strconv.Quote(n.inner()))
	n.env = append(os.Environ(), oursVariable+"=1", "KATA_TES_CONFIG="+n.path("config.toml"), "TEST_RUN_ROOT="+n.path("run"),
		"TEST_SOCKETS="+n.path("s"), "TEST_NOTES="+n.path("notes"), "TTRPC_ADDRESS=/some/where",
		// The race detector sleeps for a second at each program's end.
		"GORACE=atexit_sleep_ms=0")
	t.Cleanup(func() {
		n.endAll()
		require.NoError(t, os.RemoveAll(dir))
	})
	return n
}

func (n *node) path(parts ...string) string {
	return filepath.Join(append([]string{n.dir}, parts...)...)
}
func (n *node) inner() string { return n.path(innerName) }

func (n *node) configure(text string) {
	require.NoError(n.t, os.WriteFile(n.path("config.toml"), []byte(text), 0o600))
}

// bundle makes a container's bundle; group is the sandbox's id.
func (n *node) bundle(id, group string) string {
	b := n.path("bundles", id)
	if err := os.Mkdir(b, 0o700); err != nil {
		require.ErrorIs(n.t, err, os.ErrExist)
	}
	if group != id {
		require.NoError(n.t, os.WriteFile(filepath.Join(b, "group"), []byte(group), 0o600))
	}
	return b
}

// run executes our shim as containerd does.
func (n *node) run(dir string, stdin []byte, args ...string) (string, error) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.program, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, append(n.env, "TEST_INNER="+n.mode), bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return string(out), nil
}

func (n *node) start(id, group string) (string, error) {
	n.t.Helper()
	return n.run(n.bundle(id, group), kataInput(n.t, ""), "-namespace", "ns", "-address", "/c.sock", "-publish-binary", "/bin/containerd", "-id", id, "start")
}

func (n *node) mustStart(id, group string) string {
	n.t.Helper()
	out, err := n.start(id, group)
	require.NoError(n.t, err)
	return out
}

func (n *node) delete(id string) (string, error) {
	n.t.Helper()
	b := n.path("bundles", id)
	return n.run(b, nil, "-namespace", "ns", "-address", "/c.sock", "-publish-binary", "/bin/containerd", "-id", id, "-bundle", b, "delete")
}

// noted is what the stand-in was called with.
func (n *node) noted(name string) invocation {
	n.t.Helper()
	text, err := os.ReadFile(n.path("notes", name))
	require.NoError(n.t, err)
	var i invocation
	require.NoError(n.t, json.Unmarshal(text, &i))
	return i
}

// kataInput is what containerd before 2.3 writes to `start`.
func kataInput(t *testing.T, configPath string) []byte {
	t.Helper()
	options, err := proto.Marshal(&runtimeoptions.Options{ConfigPath: configPath})
	require.NoError(t, err)
	input, err := proto.Marshal(&anypb.Any{TypeUrl: "runtimeoptions.v1.Options", Value: options})
	require.NoError(t, err)
	return input
}

// bootstrapInput is what containerd 2.3 and later write.
func bootstrapInput(t *testing.T, configPath string) []byte {
	t.Helper()
	var options anypb.Any
	require.NoError(t, proto.Unmarshal(kataInput(t, configPath), &options))
	socketDir := "/run/s"
	input, err := proto.Marshal(&bootapi.BootstrapParams{
		InstanceID: "id", Namespace: "ns", ContainerdVersion: "2.4.2", ContainerdBinary: "/bin/containerd", SocketDir: &socketDir,
		Extensions: []*bootapi.Extension{{Value: &anypb.Any{TypeUrl: "something.Else", Value: []byte("x")}}, {Value: &options}},
	})
	require.NoError(t, err)
	return input
}

func (n *node) client(address string) *ttrpc.Client {
	n.t.Helper()
	c := dialShim(n.t, address)
	n.t.Cleanup(func() { _ = c.Close() })
	return c
}

// dialShim is for whoever closes the connection.
func dialShim(t *testing.T, address string) *ttrpc.Client {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(address, "unix://"))
	require.NoError(t, err)
	return ttrpc.NewClient(conn)
}

// processes are the living ones with this node in their environment, ours and
// the stand-in's.
func (n *node) processes(kind string) []int {
	entries, err := os.ReadDir(proc)
	require.NoError(n.t, err)
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile(filepath.Join(proc, entry.Name(), "environ"))
		if err != nil || !bytes.Contains(env, []byte("TEST_NOTES="+n.path("notes")+"\x00")) {
			continue // a zombie has no environment any more
		}
		line, err := os.ReadFile(filepath.Join(proc, entry.Name(), "cmdline"))
		inner := strings.Contains(strings.SplitN(string(line), "\x00", 2)[0], innerName)
		if err == nil && (kind == "all" || inner == (kind == "inner")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// await waits until something holds.
func (n *node) await(what string, holds func() bool) {
	n.t.Helper()
	for until := time.Now().Add(limit); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			n.t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (n *node) awaitNothing(what string) {
	n.t.Helper()
	n.await("no process is left: "+what, func() bool { return len(n.processes("all")) == 0 })
	n.await("no socket is left: "+what, func() bool { return len(n.list("s")) == 0 })
	require.Empty(n.t, n.list("run"), "no folder is left: %s", what)
}

func (n *node) list(folder string) []string {
	entries, err := os.ReadDir(n.path(folder))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(n.t, err)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (n *node) kill(kind string) {
	n.t.Helper()
	pids := n.processes(kind)
	require.NotEmpty(n.t, pids, "%s to kill", kind)
	for _, pid := range pids {
		require.NoError(n.t, unix.Kill(pid, unix.SIGKILL))
	}
	n.await(kind+" has ended", func() bool { return len(n.processes(kind)) == 0 })
}

func (n *node) endAll() {
	for _, pid := range n.processes("all") {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	n.await("the test's processes have ended", func() bool { return len(n.processes("all")) == 0 })
}
