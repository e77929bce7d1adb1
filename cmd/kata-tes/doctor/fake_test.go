// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"github.com/kata-tes/kata-tes/shim/report"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// fake is a node on which everything is well until a test changes it.
type fake struct {
	t    *testing.T
	root string
	live live
	// runtimes are those that are asked for.
	runtimes []string
	// says is what programs print.
	says map[string]string
	// broken are devices that can't be opened.
	broken map[string]error
	// told is what the process of the running sandbox says; nil: nothing.
	told  *report.Sandbox
	guest *guest
	// image is what is in the guest image; imageErr, why it can't be looked into.
	image    guestimage.Report
	imageErr error
}

const (
	containerdConfig = "/etc/containerd/config.toml"
	kataConfig       = "/opt/kata/share/defaults/kata-containers/configuration-qemu-tdx.toml"
	dropIn           = "/opt/kata/share/defaults/kata-containers/config.d/50-kata-tes.toml"
	ourShim          = "/usr/local/bin/containerd-shim-kata-tes-v2"
	wrapper          = "/usr/local/bin/kata-tes-qemu"
	qemu             = "/opt/kata/bin/qemu-system-x86_64"
	innerShim        = "/opt/kata/bin/containerd-shim-kata-v2"
	ourConfig        = "/etc/kata-tes/config.toml"
	runtime          = "kata-qemu-tdx"
	sandboxID        = "0123456789abcdef"
	version          = "1.2.3"
	goVersion        = "Kata Containers containerd shim (Golang): id: \"io.containerd.kata.v2\", version: 3.20.0, commit: 754f07c\n"
)

// files are those of a node as kata-deploy lays it out, with kata-tes.
var files = map[string]string{
	containerdConfig: `version = 3
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.kata-qemu-tdx]
  runtime_type = "io.containerd.kata-tes.v2"
  privileged_without_host_devices = true
  pod_annotations = ["io.katacontainers.*"]
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.kata-qemu-tdx.options]
    ConfigPath = "` + kataConfig + `"
`,
	kataConfig: `[hypervisor.qemu]
path = "` + qemu + `"
valid_hypervisor_paths = ["` + qemu + `"]
enable_annotations = ["kernel_params"]
confidential_guest = true
image = "/opt/kata/share/kata-containers/kata.img"
default_bridges = 1
block_device_driver = "virtio-scsi"
[agent.kata]
dial_timeout = 60
[runtime]
create_container_timeout = 60
experimental_force_guest_pull = true
`,
	dropIn: `[hypervisor.qemu]
path = "` + wrapper + `"
valid_hypervisor_paths = ["` + wrapper + `"]
`,
	"/var/lib/kubelet/config.yaml":         "apiVersion: kubelet.config.k8s.io/v1beta1\nruntimeRequestTimeout: 10m0s\n",
	"/sys/module/kvm_intel/parameters/tdx": "Y\n",
	"/proc/1/comm":                         "systemd\n",
	"/proc/77/comm":                        "containerd\n",
	"/proc/77/environ":                     "HOME=/\x00PATH=/usr/local/bin:/usr/bin:/bin\x00",
	"/proc/77/stat":                        "77 (contain (erd) S 1 77 77 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 500 1 2 3\n",
	"/proc/stat":                           "cpu 1 2 3\nbtime 4102444800\n", // later than any file
	"/run/kata-tes/_metrics/kata-tes.prom": "# HELP x x\n",
	"/usr/bin/containerd":                  "#!",
}

var programs = []string{ourShim, wrapper, qemu, innerShim, "/usr/bin/containerd"}

func newFake(t *testing.T) *fake {
	t.Helper()
	// Short: sockets have short paths.
	root, err := os.MkdirTemp("", "dr")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(root)) })
	f := &fake{
		t: t, root: root, broken: map[string]error{}, guest: &guest{protocol: agentproto.ProtocolVersion},
		says: map[string]string{
			ourShim:   "containerd-shim-kata-tes-v2:\n  Version:  " + version + "\n",
			innerShim: goVersion,
			qemu:      "QEMU emulator version 9.1.2 (kata-static)\nCopyright\n",
		},
		told: &report.Sandbox{Shim: version, Namespace: "shop", Pod: "web", Store: report.Store{State: "ready", Guest: &report.Guest{}}},
	}
	f.live = live{
		user: func() int { return 0 },
		open: func(device string) error { return f.broken[device] },
		run: func(_ context.Context, program string, _ ...string) (string, error) {
			if says, ok := f.says[program]; ok {
				return says, nil
			}
			return "", errors.New("cannot be run")
		},
		machine: func(context.Context, string) (string, error) { return "unix://" + f.path("guest"), nil },
	}
	f.image = guestimage.Report{Agent: &guestimage.Agent{Version: version}, Checks: []guestimage.Check{{Name: "kata-tes-agent", State: guestimage.OK}}}
	f.live.inspect = func(_ context.Context, image, config string) (guestimage.Report, error) {
		require.Equal(t, "/opt/kata/share/kata-containers/kata.img", image)
		require.Equal(t, kataConfig, config)
		return f.image, f.imageErr
	}
	for name, text := range files {
		f.write(name, text)
	}
	for _, program := range programs {
		f.write(program, "#!")
		f.chmod(program, 0o755)
	}
	f.chmod("/run/kata-tes", 0o711)
	return f
}

func (f *fake) path(name string) string { return filepath.Join(f.root, name) }

func (f *fake) write(name, text string) {
	f.t.Helper()
	require.NoError(f.t, os.MkdirAll(filepath.Dir(f.path(name)), 0o755))
	require.NoError(f.t, os.WriteFile(f.path(name), []byte(text), 0o644))
}

func (f *fake) chmod(name string, mode fs.FileMode) {
	f.t.Helper()
	require.NoError(f.t, os.Chmod(f.path(name), mode))
}

func (f *fake) remove(name string) {
	f.t.Helper()
	require.NoError(f.t, os.RemoveAll(f.path(name)))
}

// edit replaces a text that must be there.
func (f *fake) edit(name, old, text string) {
	f.t.Helper()
	before, err := os.ReadFile(f.path(name))
	require.NoError(f.t, err)
	require.Contains(f.t, string(before), old)
	f.write(name, strings.Replace(string(before), old, text, 1))
}

// examine starts the sandbox's process and its guest, as far as there are any,
// and makes all checks.
func (f *fake) examine() Findings {
	f.t.Helper()
	if f.told != nil {
		require.NoError(f.t, rundir.Create(f.path(rundir.Root), sandboxID, rundir.Sandbox{}))
		log := logrus.New()
		log.SetOutput(io.Discard)
		f.told.Format, f.told.ID = report.Format, sandboxID
		s, err := report.Serve(rundir.StatusPath(f.path(rundir.Root), sandboxID),
			func(context.Context) report.Sandbox { return *f.told }, logrus.NewEntry(log))
		require.NoError(f.t, err)
		f.t.Cleanup(func() { require.NoError(f.t, s.Close()) })
	}
	if f.guest != nil {
		f.guest.serve(f.t, f.path("guest"))
	}
	tree, err := node.Open(f.root)
	require.NoError(f.t, err)
	f.t.Cleanup(func() { require.NoError(f.t, tree.Close()) })
	return examine(f.t.Context(), Options{Root: f.root, Version: version, Runtimes: f.runtimes}, tree, f.live)
}

// guest answers for its version.
type guest struct {
	agentv1.TrustedStoreService
	protocol uint32
}

func (g *guest) Version(context.Context, *agentv1.VersionRequest) (*agentv1.VersionResponse, error) {
	return &agentv1.VersionResponse{Protocol: g.protocol, Agent: "1.2.2"}, nil
}

func (g *guest) serve(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	server, err := ttrpc.NewServer()
	require.NoError(t, err)
	agentv1.RegisterTrustedStoreService(server, g)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(context.Background(), l) }) // ends with Close
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
}

// patience is how long anything may take that should be at once.
const patience = 20 * time.Second
