// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qemuwrap

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

const (
	// wrapEnv makes the test binary the wrapper: its value is the run root.
	wrapEnv = "TEST_WRAP_RUN_ROOT"
	// defaultEnv is the wrapper's default hypervisor.
	defaultEnv = "TEST_WRAP_DEFAULT"
	sid        = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

func TestMain(m *testing.M) {
	root := os.Getenv(wrapEnv)
	if root == "" {
		os.Exit(m.Run())
	}
	w := Wrapper{RunRoot: root, Config: "/etc/kata-tes/config.toml", Default: func() (string, error) {
		if path := os.Getenv(defaultEnv); path != "" {
			return path, nil
		}
		return "", errors.New("no default")
	}}
	err := w.Exec(os.Args, os.Environ())
	fmt.Fprintln(os.Stderr, "kata-tes-qemu:", err)
	os.Exit(ExitStatus(err))
}

// hypervisor is a stand-in for QEMU that tells what it was given, and ends with
// status 42.
func hypervisor(t *testing.T) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3 for a stand-in of QEMU")
	}
	path := filepath.Join(t.TempDir(), "hypervisor")
	script := "#!" + python + ` -I
import json, os, sys
fds = {}
for fd in os.listdir("/proc/self/fd"):
    try: fds[fd] = os.readlink("/proc/self/fd/" + fd)
    except OSError: pass
mask = os.umask(0)
json.dump({"args": sys.argv[1:], "env": dict(os.environ), "pid": os.getpid(), "fds": fds, "umask": mask, "cwd": os.getcwd(), "stdin": sys.stdin.read()}, sys.stdout)
sys.exit(42)
`
	require.NoError(t, os.WriteFile(path, []byte(script), 0o700))
	return path
}

type given struct {
	Args  []string
	Env   map[string]string
	PID   int
	FDs   map[string]string
	Umask int
	CWD   string
	Stdin string
}

// runRoot is short enough for a socket's path.
func runRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "qw")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// run starts the wrapper as Kata starts QEMU: with descriptors to inherit.
func run(t *testing.T, root, fallback string, args ...string) given {
	t.Helper()
	extra, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer func() { require.NoError(t, extra.Close()) }()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = []string{wrapEnv + "=" + root, defaultEnv + "=" + fallback, "A=b=c"}
	cmd.ExtraFiles = []*os.File{extra, extra}
	cmd.Stdin = strings.NewReader("standard input")
	cmd.Dir = "/"
	out, err := cmd.Output()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 42, exit.ExitCode(), "the exit status is the hypervisor's: %s", exit.Stderr)
	require.Empty(t, string(exit.Stderr))
	var g given
	require.NoError(t, json.Unmarshal(out, &g))
	require.Equal(t, cmd.Process.Pid, g.PID, "exec, not a child")
	require.Equal(t, "/", g.CWD)
	require.Equal(t, "standard input", g.Stdin)
	require.Equal(t, "b=c", g.Env["A"])
	require.Equal(t, os.DevNull, g.FDs["3"])
	require.Equal(t, os.DevNull, g.FDs["4"])
	umask := unix.Umask(0)
	unix.Umask(umask)
	require.Equal(t, umask, g.Umask, "the monitor must not change what QEMU's files look like")
	return g
}

func kataArgs(name string) []string {
	return []string{"-name", name, "-machine", "q35", "-qmp", "unix:fd=3,server=on,wait=off", "-append", "a,b -mon x"}
}

func TestSandboxGetsAMonitor(t *testing.T) {
	root := runRoot(t)
	require.NoError(t, rundir.Create(root, sid, rundir.Sandbox{Hypervisor: hypervisor(t)}))
	for _, name := range []string{"sandbox-" + sid, "sandbox-" + sid + ",debug-threads=on", "guest=sandbox-" + sid} {
		args := kataArgs(name)
		g := run(t, root, "/nonexistent", args...)
		require.Equal(t, args, g.Args[:len(args)], "Kata's own arguments come first, unchanged")
		added := g.Args[len(args):]
		require.Len(t, added, 4)
		fd := strings.TrimSuffix(strings.TrimPrefix(added[1], "socket,id=tes-monitor,fd="), ",server=on,wait=off")
		require.Equal(t, []string{"-chardev", "socket,id=tes-monitor,fd=" + fd + ",server=on,wait=off", "-mon", "chardev=tes-monitor,mode=control"}, added)
		require.Contains(t, g.FDs[fd], "socket:")

		st, err := os.Lstat(rundir.MonitorPath(root, sid))
		require.NoError(t, err)
		require.Equal(t, fs.ModeSocket|0o600, st.Mode(), "also where an old one was")
	}
}

func TestOthersGetQEMUUntouched(t *testing.T) {
	real := hypervisor(t)
	root := runRoot(t)
	require.NoError(t, rundir.Create(root, sid, rundir.Sandbox{Hypervisor: "/nonexistent"}))
	for name, args := range map[string][]string{
		"another sandbox":  kataArgs("sandbox-" + strings.Repeat("f", 64)),
		"no sandbox":       kataArgs("my-machine"),
		"a path":           kataArgs("sandbox-../" + sid),
		"no id":            kataArgs("sandbox-"),
		"version":          {"--version"},
		"name without one": {"-m", "1", "-name"},
		"nothing":          {},
	} {
		t.Run(name, func(t *testing.T) {
			g := run(t, root, real, args...)
			require.Equal(t, args, append([]string{}, g.Args...))
			for fd, target := range g.FDs {
				require.NotContains(t, target, "socket:", fd)
			}
		})
	}
	require.NoFileExists(t, rundir.MonitorPath(root, sid))
}

func TestSandboxWithoutAHypervisorOfItsOwnGetsTheDefault(t *testing.T) {
	root := runRoot(t)
	require.NoError(t, rundir.Create(root, sid, rundir.Sandbox{}))
	g := run(t, root, hypervisor(t), kataArgs("sandbox-"+sid)...)
	require.Contains(t, g.Args, "chardev=tes-monitor,mode=control")
}

func TestFailures(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	require.NoError(t, os.WriteFile(plain, []byte("text"), 0o600))
	self, err := os.Executable()
	require.NoError(t, err)
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(self, link))
	format := filepath.Join(dir, "format")
	require.NoError(t, os.WriteFile(format, []byte("neither a script nor a program"), 0o700))

	for _, c := range []struct {
		name, hypervisor, want string
		status                 int
	}{
		{"missing", "/nonexistent/qemu", "/nonexistent/qemu: no such file", ExitNotFound},
		{"not executable", plain, "permission denied", ExitNotExecutable},
		{"a folder", dir, "not a regular file", ExitNotExecutable},
		{"relative", "qemu", "not an absolute path", ExitNotExecutable},
		{"itself", self, "this wrapper itself", ExitNotExecutable},
		{"itself by a link", link, "this wrapper itself", ExitNotExecutable},
		{"no program", format, "exec format error", ExitNotExecutable},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := runRoot(t)
			stderr, status := fail(t, root, c.hypervisor)
			require.Contains(t, stderr, c.want, "as default")
			require.Equal(t, c.status, status)
			if c.name != "no program" {
				require.Contains(t, stderr, "set hypervisor under [defaults] in /etc/kata-tes/config.toml")
			}

			require.NoError(t, rundir.Create(root, sid, rundir.Sandbox{Hypervisor: c.hypervisor}))
			stderr, status = fail(t, root, "/bin/true")
			require.Contains(t, stderr, c.want, "of the sandbox")
			require.Equal(t, c.status, status)
			if c.name != "no program" {
				require.Contains(t, stderr, "set hypervisor in /etc/kata-tes/config.toml")
			}
		})
	}
}

func TestFailsClosed(t *testing.T) {
	root := runRoot(t)
	_, status := fail(t, root, "")
	require.Equal(t, ExitNotExecutable, status, "no default")

	require.NoError(t, rundir.Create(root, sid, rundir.Sandbox{Hypervisor: "/bin/true"}))
	require.NoError(t, os.WriteFile(filepath.Join(root, sid, "monitor.sock"), []byte("x"), 0o600))
	stderr, _ := fail(t, root, "/bin/true")
	require.Contains(t, stderr, "no socket", "a file of somebody else is not removed")

	require.NoError(t, os.WriteFile(filepath.Join(root, sid, "sandbox.json"), []byte("{"), 0o600))
	stderr, status = fail(t, root, "/bin/true")
	require.Contains(t, stderr, "remove "+filepath.Join(root, sid), "a pod of ours never runs without its monitor")
	require.Equal(t, ExitNotExecutable, status)
}

func TestRootlessHypervisor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become somebody else")
	}
	root := runRoot(t)
	require.NoError(t, rundir.Create(root, sid, rundir.Sandbox{Hypervisor: "/bin/true"}))
	cmd := exec.Command("setpriv", append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", os.Args[0]}, kataArgs("sandbox-"+sid)...)...)
	cmd.Env = []string{wrapEnv + "=" + root}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) || strings.Contains(string(out), "failed to execute") {
		t.Skip("needs setpriv (package util-linux) and a test binary that others may execute")
	}
	require.Contains(t, string(out), "rootless = false")
}

// fail runs the wrapper for our sandbox where it can't become a hypervisor.
func fail(t *testing.T, root, fallback string) (stderr string, status int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], kataArgs("sandbox-"+sid)...)
	cmd.Env = []string{wrapEnv + "=" + root, defaultEnv + "=" + fallback}
	_, err := cmd.Output()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	return string(exit.Stderr), exit.ExitCode()
}

func TestListenLeavesNothingBehindOnFailure(t *testing.T) {
	before := openSockets(t)
	_, err := listen(filepath.Join(t.TempDir(), "no", "such", "folder"))
	require.ErrorIs(t, err, unix.ENOENT)
	_, err = listen("/" + strings.Repeat("x", 200))
	require.Error(t, err)
	require.Equal(t, before, openSockets(t))

	path := filepath.Join(runRoot(t), "s")
	fd, err := listen(path)
	require.NoError(t, err)
	f := os.NewFile(uintptr(fd), "listener")
	l, err := net.FileListener(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = io.WriteString(c, "x") // the reader checks
			_ = c.Close()
		}
	}()
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	content, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "x", string(content))
	require.NoError(t, c.Close())
	require.NoError(t, l.Close())
}

func openSockets(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	n := 0
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}
