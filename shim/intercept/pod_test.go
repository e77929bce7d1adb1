// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/hostdev"
	"github.com/kata-tes/kata-tes/shim/ocispec"
)

const (
	mebibyte  = 1 << 20
	sandboxID = "sandbox"
)

// unhurried are limits that nothing here comes near.
var unhurried = config.Timeouts{Find: time.Minute, Attach: time.Minute, Prepare: time.Minute, Undo: time.Minute}

// pod is a sandbox: the interceptor as it ships between a real bundle and a
// real block device on one side and a fake virtual machine and a fake guest on
// the other, the guest behind a real ttrpc connection.
type pod struct {
	t           *testing.T
	interceptor *Interceptor
	vm          *fakeVM
	guest       *fakeGuest
	port        *guestPort
	finder      *fakeFinder
	runRoot     string
	log         *logtest.Hook
	containers  int
}

func newPod(t *testing.T, limits config.Timeouts) *pod {
	t.Helper()
	return newPodWith(t, limits, func(*config.Settings) {})
}

// newPodWith is newPod with other settings.
func newPodWith(t *testing.T, limits config.Timeouts, change func(s *config.Settings)) *pod {
	t.Helper()
	p := &pod{t: t, vm: &fakeVM{disks: map[agentproto.Marker]int{}}, port: newGuestPort(t), runRoot: filepath.Join(t.TempDir(), "run")}
	p.guest = &fakeGuest{vm: p.vm, protocol: agentproto.ProtocolVersion, steps: []*agentv1.Step{{Name: "format"}}}
	p.finder = &fakeFinder{vm: p.vm, guest: guest{url: "unix://" + p.port.path}}
	p.serve()
	log, hook := logtest.NewNullLogger()
	p.log = hook
	chosen := settings("/dev/trusted_store", limits)
	change(&chosen)
	var err error
	p.interceptor, err = newInterceptor(Options{
		SandboxID: sandboxID,
		Settings:  chosen,
		RunRoot:   p.runRoot,
		Log:       logrus.NewEntry(log),
	}, p.finder, hostdev.Host{Dev: nodeFolder(t)})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, p.interceptor.Close())
		p.vm.die(t)
	})
	return p
}

func settings(devicePath string, limits config.Timeouts) config.Settings {
	return config.Settings{DevicePath: devicePath, MinimumSize: 32 * mebibyte, Timeouts: limits}
}

// nodeFolder is a folder for device nodes, which must be empty again at the
// end. (Not below /tmp, which may be mounted nodev.)
func nodeFolder(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return "/dev" // no node will be made in it
	}
	dir, err := os.MkdirTemp("/dev", "kata-tes-test-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.Remove(dir), "a device node is left") })
	return dir
}

// serve lets the agent extension run in the guest.
func (p *pod) serve() {
	p.t.Helper()
	p.port.serve(p.t, func(s *ttrpc.Server) { agentv1.RegisterTrustedStoreService(s, p.guest) })
}

// create is a Create of a new container with a bundle of its own, as the
// kubelet makes one for each attempt.
func (p *pod) create(devices ...string) error {
	p.t.Helper()
	return p.createWith(context.Background(), devices...)
}

func (p *pod) createWith(ctx context.Context, devices ...string) error {
	p.t.Helper()
	id, dir := p.bundle("container", devices...)
	return p.interceptor.Create(ctx, id, dir)
}

// bundle writes a new container's config.json.
func (p *pod) bundle(kind string, devices ...string) (id, dir string) {
	p.t.Helper()
	p.containers++
	id = fmt.Sprintf("container-%d", p.containers)
	dir = p.t.TempDir()
	text := fmt.Sprintf(`{"ociVersion":"1.2.1","annotations":{"io.kubernetes.cri.container-type":%q},"linux":{"devices":[%s]}}`, kind, strings.Join(devices, ","))
	require.NoError(p.t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600))
	return id, dir
}

// entry asks for the store on a device.
func entry(n ocispec.Number) string { return device("/dev/trusted_store", "b", n) }

func device(path, kind string, n ocispec.Number) string {
	return fmt.Sprintf(`{"path":%q,"type":%q,"major":%d,"minor":%d}`, path, kind, n.Major, n.Minor)
}

// requireRefused checks code and message of a refusal.
func requireRefused(t *testing.T, err error, code codes.Code, words ...string) {
	t.Helper()
	require.Error(t, err)
	s, ok := status.FromError(err)
	require.True(t, ok, "not a gRPC status: %v", err)
	require.Equal(t, code, s.Code(), s.Message())
	for _, word := range words {
		require.Contains(t, s.Message(), word)
	}
	require.NotContains(t, s.Message(), "\n", "one line for the kubelet's event")
}

// requireUndone checks that a failed attempt left nothing.
func (p *pod) requireUndone() {
	p.t.Helper()
	require.Zero(p.t, p.vm.attached(), "a disk is attached")
	p.guest.mu.Lock()
	defer p.guest.mu.Unlock()
	require.Empty(p.t, p.guest.prepared, "the guest has a store")
}

// requireReady checks that the store is on exactly one disk, which nobody else
// can have.
func (p *pod) requireReady(disk loop) {
	p.t.Helper()
	require.Equal(p.t, 1, p.vm.attached())
	p.guest.mu.Lock()
	prepared := p.guest.prepared
	p.guest.mu.Unlock()
	p.vm.mu.Lock()
	require.Contains(p.t, p.vm.disks, agentproto.Marker(prepared))
	p.vm.mu.Unlock()
	require.True(p.t, disk.claimed(p.t))
}

// loop is a loop device.
type loop struct {
	path string
	n    ocispec.Number
}

func newLoop(t *testing.T, size int64) loop {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for loop devices")
	}
	if _, err := exec.LookPath("losetup"); err != nil {
		t.Skip("needs losetup (Debian package mount)")
	}
	file := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Truncate(file, size))
	path := run(t, "losetup", "--find", "--show", file)
	t.Cleanup(func() { run(t, "losetup", "--detach", path) })
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	return loop{path: path, n: ocispec.Number{Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev)}}
}

// claimed says whether somebody holds the device exclusively.
func (l loop) claimed(t *testing.T) bool {
	t.Helper()
	fd, err := unix.Open(l.path, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if err != nil {
		require.ErrorIs(t, err, unix.EBUSY)
		return true
	}
	require.NoError(t, unix.Close(fd))
	return false
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	output, err := exec.Command(name, args...).Output()
	require.NoError(t, err, "%s %v", name, args)
	return strings.TrimSpace(string(output))
}
