// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/qemuwrap"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// wrapEnv makes the test binary stand in for kata-tes-qemu.
const wrapEnv = "KATA_TES_TEST_RUN_ROOT"

func TestMain(m *testing.M) {
	if root := os.Getenv(wrapEnv); root != "" {
		w := qemuwrap.Wrapper{RunRoot: root, Config: "no file", Default: func() (string, error) {
			return "", errors.New("the test's sandbox has no folder")
		}}
		err := w.Exec(os.Args, os.Environ())
		fmt.Fprintln(os.Stderr, err)
		os.Exit(qemuwrap.ExitStatus(err))
	}
	os.Exit(m.Run())
}

// What Kata gives a virtual machine, with and without virtio-scsi.
var (
	bridge = []string{"-device", "pci-bridge,bus=pcie.0,id=pci-bridge-0,chassis_nr=1,shpc=off,addr=2,io-reserve=4k,mem-reserve=1m,pref64-reserve=1m"}
	scsi   = append(bridge[:2:2], "-device", "virtio-scsi-pci,id=scsi0")
)

// vm is a QEMU without a guest, started through the wrapper.
type vm struct {
	*Sandbox
	root string
	cmd  *exec.Cmd
	// kata is a connection to another monitor, open all the time as Kata's is.
	// (With no client at all, QEMU forgets descriptors that were not used.)
	kata *qmp.Conn
}

// startVM starts a real QEMU, as Kata would through kata-tes-qemu.
func startVM(t *testing.T, args ...string) *vm {
	t.Helper()
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("needs qemu-system-x86_64 (package qemu-system-x86)")
	}
	v := &vm{root: shortDir(t)}
	id := sandboxName()
	require.NoError(t, rundir.Create(v.root, id, rundir.Sandbox{Hypervisor: qemu}))
	v.Sandbox = &Sandbox{id: id, monitor: rundir.MonitorPath(v.root, id), undoTimeout: undoTimeout}

	v.cmd = exec.Command(os.Args[0], append([]string{
		"-name", "sandbox-" + id + ",debug-threads=on",
		"-machine", "q35,accel=tcg", "-m", "64", "-nodefaults", "-display", "none",
		"-qmp", "unix:" + filepath.Join(v.root, "kata.sock") + ",server=on,wait=off",
	}, args...)...)
	v.cmd.Env = append(os.Environ(), wrapEnv+"="+v.root)
	var stderr bytes.Buffer
	v.cmd.Stderr = &stderr
	require.NoError(t, v.cmd.Start())
	t.Cleanup(func() {
		v.kill()
		if t.Failed() {
			t.Logf("QEMU's stderr: %s", stderr.String())
		}
	})
	require.Eventually(t, func() bool {
		v.kata, err = qmp.Dial(t.Context(), filepath.Join(v.root, "kata.sock"))
		return err == nil
	}, 20*time.Second, 10*time.Millisecond, "QEMU's monitor")
	t.Cleanup(func() { require.NoError(t, v.kata.Close()) })
	return v
}

// kill ends QEMU and waits for its end; a second time it does nothing.
func (v *vm) kill() {
	_ = v.cmd.Process.Kill() // it may have ended
	_ = v.cmd.Wait()         // its status is the kill's
}

func (v *vm) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	require.NoError(t, v.cmd.Process.Signal(sig))
}

// ask sends a command beside what is being tested.
func (v *vm) ask(t *testing.T, command string, args, result any) {
	t.Helper()
	require.NoError(t, v.kata.Execute(t.Context(), command, args, result))
}

func sandboxName() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

var markers int

// newMarker is as long as a real one.
func newMarker() string {
	markers++
	return fmt.Sprintf("tes-%016x", markers)
}

// shortDir leaves room for a socket's path.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tes")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// disk is a host's block device.
type disk struct{ path string }

func newDisk(t *testing.T) disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for a loop device")
	}
	image := filepath.Join(t.TempDir(), "disk.img")
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, 64<<20))
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	require.NoError(t, err, "losetup: %s", out)
	d := disk{path: string(bytes.TrimSpace(out))}
	t.Cleanup(func() {
		out, err := exec.Command("losetup", "--detach", d.path).CombinedOutput()
		require.NoError(t, err, "losetup: %s", out)
	})
	return d
}

// attach opens the disk as the shim does, hotplugs it, and closes it.
func (d disk) attach(ctx context.Context, t *testing.T, s *Sandbox, marker string) error {
	t.Helper()
	f, err := os.OpenFile(d.path, os.O_RDWR|unix.O_EXCL|unix.O_DIRECT, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	return s.Attach(ctx, f, marker)
}

// claimed says whether somebody has the disk to himself.
func (d disk) claimed(t *testing.T) bool {
	t.Helper()
	f, err := os.OpenFile(d.path, os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return true
	}
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return false
}

// requireGone makes sure that nothing is left of any attach.
func requireGone(t *testing.T, v *vm, d disk) {
	t.Helper()
	list, err := v.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, list)
	var nodes []struct {
		Name string `json:"node-name"`
	}
	v.ask(t, "query-named-block-nodes", nil, &nodes)
	require.Empty(t, nodes)
	var sets []any
	v.ask(t, "query-fdsets", nil, &sets)
	require.Empty(t, sets)
	require.False(t, d.claimed(t), "the claim on the host's device")
}

// hmp runs a command of QEMU's monitor for people.
func (v *vm) hmp(t *testing.T, format string, args ...any) {
	t.Helper()
	v.ask(t, "human-monitor-command", map[string]string{"command-line": fmt.Sprintf(format, args...)}, nil)
}
