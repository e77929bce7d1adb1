// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kata-tes/kata-tes/shim/config"
	"github.com/kata-tes/kata-tes/shim/ocispec"
	vcext "github.com/kata-tes/kata-tes/virtcontainers-ext"
)

// hurried are limits that a hanging part exceeds soon, and a healthy one never.
var hurried = config.Timeouts{Find: time.Second, Attach: time.Second, Prepare: time.Second, Undo: time.Second}

// refusal is one way in which a container with a store is refused.
type refusal struct {
	limits config.Timeouts
	// devices are those of the container; the store on disk unless given.
	devices func(disk loop) []string
	// breaks makes the attempt fail, and returns the repair.
	breaks func(p *pod, disk loop) (repair func())
	code   codes.Code
	// words must be in the message.
	words []string
}

// TestRefused is the list of what goes wrong. In each case the container is
// refused with a clear error, nothing is left of the attempt, the pod's other
// containers are held back with the reason, and a correct attempt works.
//
// One after the other: a program that another test starts has, until it is
// executed, copies of all descriptors, and so of the claims.
func TestRefused(t *testing.T) {
	for name, r := range refusals() {
		t.Run(name, func(t *testing.T) {
			if r.limits == (config.Timeouts{}) {
				r.limits = unhurried
			}
			disk := newLoop(t, 32*mebibyte)
			p := newPod(t, r.limits)
			devices := []string{entry(disk.n)}
			if r.devices != nil {
				devices = r.devices(disk)
			}
			repair := func() {}
			if r.breaks != nil {
				repair = r.breaks(p, disk)
			}

			requireRefused(t, p.create(devices...), r.code, r.words...)
			p.requireUndone()
			requireRefused(t, p.create(), codes.FailedPrecondition, append(r.words, "until a retry")...)

			repair()
			require.False(t, disk.claimed(t), "the failed attempt holds the device")
			require.NoError(t, p.create(entry(disk.n)))
			p.requireReady(disk)
			require.NoError(t, p.create())
		})
	}
}

func refusals() map[string]refusal {
	return map[string]refusal{
		"device missing on the host": {
			devices: func(loop) []string { return []string{entry(ocispec.Number{Major: 4095, Minor: 1048575})} },
			code:    codes.NotFound, words: []string{"4095:1048575", "no such block device on the node", "attached to this node"},
		},
		"a character device": {
			devices: func(loop) []string {
				return []string{device("/dev/trusted_store", "c", ocispec.Number{Major: 1, Minor: 3})}
			},
			code: codes.InvalidArgument, words: []string{"not a block device", "volumeMode: Block"},
		},
		"a regular file": {
			devices: func(loop) []string { return []string{`{"path":"/dev/trusted_store","type":"f"}`} },
			code:    codes.InvalidArgument, words: []string{"not a block device", "volumeMode: Block"},
		},
		"two entries": {
			devices: func(d loop) []string { return []string{entry(d.n), entry(d.n)} },
			code:    codes.InvalidArgument, words: []string{"more than once", "keep one entry"},
		},
		"under another path, too": {
			devices: func(d loop) []string { return []string{device("/dev/sda", "b", d.n), entry(d.n)} },
			code:    codes.InvalidArgument, words: []string{"another path", "/dev/sda", "privileged_without_host_devices"},
		},
		"a claim that is readOnly": {
			devices: func(d loop) []string {
				// The bundle's template ends after the devices; the rules go in there.
				return []string{entry(d.n) + fmt.Sprintf(`],"resources":{"devices":[{"allow":true,"type":"b","major":%d,"minor":%d,"access":"r"}]},"x":[`, d.n.Major, d.n.Minor)}
			},
			code: codes.InvalidArgument, words: []string{"read-only for this container", "take readOnly off the claim"},
		},
		"read-only": {
			breaks: func(p *pod, d loop) func() {
				run(p.t, "blockdev", "--setro", d.path)
				return func() { run(p.t, "blockdev", "--setrw", d.path) }
			},
			code: codes.FailedPrecondition, words: []string{"read-only", "make it writable"},
		},
		"mounted on the host": {
			breaks: mountDisk,
			code:   codes.FailedPrecondition, words: []string{"mounted or in use by another pod", "unmount it"},
		},
		"in use by another pod": {
			breaks: func(p *pod, d loop) func() {
				other := newPod(p.t, unhurried)
				require.NoError(p.t, other.create(entry(d.n)))
				return func() { other.vm.die(p.t) }
			},
			code: codes.FailedPrecondition, words: []string{"mounted or in use by another pod", "a volume of its own"},
		},
		"no monitor": {
			breaks: func(p *pod, _ loop) func() {
				p.finder.set(nil, finder{Finder: vcext.Finder{RunRoot: p.t.TempDir()}})
				return func() { p.finder.set(nil, nil) }
			},
			code: codes.FailedPrecondition, words: []string{"no kata-tes monitor", "kata-tes-qemu"},
		},
		"no answer on vsock": {
			limits: hurried,
			breaks: func(p *pod, _ loop) func() {
				p.port.beSilent(p.t)
				return p.serve
			},
			code: codes.DeadlineExceeded, words: []string{"does not answer", "1s", "virtio-vsock"},
		},
		"nobody on the agent's port": {
			breaks: func(p *pod, _ loop) func() {
				p.port.beAbsent(p.t)
				return p.serve
			},
			code: codes.FailedPrecondition, words: []string{"no kata-tes-agent", "use a guest image with"},
		},
		"agent without the service": {
			breaks: func(p *pod, _ loop) func() {
				p.port.serve(p.t, func(*ttrpc.Server) {})
				return p.serve
			},
			code: codes.FailedPrecondition, words: []string{"does not know the trusted store", "use a guest image with"},
		},
		"wrong protocol version": {
			breaks: func(p *pod, _ loop) func() {
				p.guest.set(func(g *fakeGuest) { g.protocol = 7 })
				return func() { p.guest.set(func(g *fakeGuest) { g.protocol = 1 }) }
			},
			code: codes.FailedPrecondition, words: []string{"speaks protocol 7 and this node speaks 1", "same release"},
		},
		"attach fails": {
			breaks: attachFault(failing(errors.New("hotplug refused"))),
			code:   codes.Internal, words: []string{"hotplug refused"},
		},
		"cryptsetup fails":  prepareRefusal(codes.Internal, "cryptsetup luksFormat: exit status 1: no memory", "console or journal"),
		"mkfs fails":        prepareRefusal(codes.Internal, "mkfs.ext4: exit status 1", "console or journal"),
		"somebody meddles":  prepareRefusal(codes.DataLoss, "cipher is cipher_null", "do not trust this node"),
		"disk has not come": prepareRefusal(codes.NotFound, "no disk with that marker appeared", "hotplug"),
		"unfit disk":        prepareRefusal(codes.FailedPrecondition, "the disk has partitions", "another volume"),
		"unknown store":     prepareRefusal(codes.InvalidArgument, "no such store", "agent.toml"),
		"guest dies": {
			breaks: func(p *pod, _ loop) func() {
				back := make(chan struct{})
				p.guest.set(func(g *fakeGuest) { g.onPrepare = endConnection(p, back) })
				return func() {
					<-back
					p.guest.set(func(g *fakeGuest) { g.onPrepare = nil })
				}
			},
			code: codes.Unavailable, words: []string{"does not answer"},
		},

		"deadline: find": {
			limits: hurried,
			breaks: func(p *pod, _ loop) func() {
				p.finder.set(hang, nil)
				return func() { p.finder.set(nil, nil) }
			},
			code: codes.DeadlineExceeded, words: []string{`"find" did not end within 1s`, "config.toml"},
		},
		"deadline: version": {
			limits: hurried,
			breaks: func(p *pod, _ loop) func() {
				p.guest.set(func(g *fakeGuest) { g.onVersion = hang })
				return func() { p.guest.set(func(g *fakeGuest) { g.onVersion = nil }) }
			},
			code: codes.DeadlineExceeded, words: []string{"version", "config.toml"},
		},
		"deadline: attach": {
			limits: hurried, breaks: attachFault(hang),
			code: codes.DeadlineExceeded, words: []string{`"attach" did not end within 1s`},
		},
		"deadline: prepare": {
			limits: hurried,
			breaks: func(p *pod, _ loop) func() {
				p.guest.set(func(g *fakeGuest) { g.onPrepare = hang })
				return func() { p.guest.set(func(g *fakeGuest) { g.onPrepare = nil }) }
			},
			code: codes.DeadlineExceeded, words: []string{"prepar", "config.toml"},
		},
	}
}

func attachFault(f fault) func(p *pod, _ loop) func() {
	return func(p *pod, _ loop) func() {
		p.vm.set(f, nil)
		return func() { p.vm.set(nil, nil) }
	}
}

func prepareRefusal(code codes.Code, message, remedy string) refusal {
	return refusal{
		breaks: func(p *pod, _ loop) func() {
			p.guest.set(func(g *fakeGuest) { g.onPrepare = failing(status.Error(code, message)) })
			return func() { p.guest.set(func(g *fakeGuest) { g.onPrepare = nil }) }
		},
		code: code, words: []string{message, remedy},
	}
}

func mountDisk(p *pod, d loop) func() {
	p.t.Helper()
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		p.t.Skip("needs mkfs.ext4 (Debian package e2fsprogs)")
	}
	run(p.t, "mkfs.ext4", "-q", d.path)
	target := p.t.TempDir()
	run(p.t, "mount", d.path, target)
	mounted := true
	umount := func() {
		if mounted {
			run(p.t, "umount", target)
			mounted = false
		}
	}
	p.t.Cleanup(umount)
	return umount
}

func TestRefusedTooSmall(t *testing.T) {
	small, disk := newLoop(t, 31*mebibyte), newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	requireRefused(t, p.create(entry(small.n)), codes.FailedPrecondition, "too small", "PersistentVolumeClaim")
	requireRefused(t, p.create(), codes.FailedPrecondition, "too small")
	require.NoError(t, p.create(entry(disk.n)))
	p.requireReady(disk)
	require.False(t, small.claimed(t))
}

// The sandbox's own container is told by its id or by its annotation. It comes
// first, so that nothing has to be held back because of it.
func TestRefusedOnTheSandbox(t *testing.T) {
	disk := newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	_, dir := p.bundle("container", entry(disk.n))
	requireRefused(t, p.interceptor.Create(t.Context(), sandboxID, dir), codes.InvalidArgument, "sandbox container", "a container of the pod")
	id, dir := p.bundle("sandbox", entry(disk.n))
	requireRefused(t, p.interceptor.Create(t.Context(), id, dir), codes.InvalidArgument, "sandbox container")
	_, dir = p.bundle("sandbox", entry(disk.n), entry(disk.n))
	requireRefused(t, p.interceptor.Create(t.Context(), sandboxID, dir), codes.InvalidArgument, "sandbox container")

	_, dir = p.bundle("sandbox")
	require.NoError(t, p.interceptor.Create(t.Context(), sandboxID, dir))
	require.NoError(t, p.create())
	require.NoError(t, p.create(entry(disk.n)))
	p.requireReady(disk)
}

// A second device is refused for as long as the store is on the first one.
func TestRefusedSecondDevice(t *testing.T) {
	first, second := newLoop(t, 32*mebibyte), newLoop(t, 32*mebibyte)
	p := newPod(t, unhurried)
	require.NoError(t, p.create(entry(first.n)))
	requireRefused(t, p.create(entry(second.n)), codes.AlreadyExists, first.n.String(), second.n.String(), "the same volume")
	require.False(t, second.claimed(t))
	require.NoError(t, p.create(), "the store is ready all the same")
	require.NoError(t, p.create(entry(first.n)))
	p.requireReady(first)
}

func TestRefusedSpecification(t *testing.T) {
	p := newPod(t, unhurried)
	id, dir := p.bundle("container")
	require.NoError(t, os.WriteFile(dir+"/config.json", []byte(`{"linux":`), 0o600))
	requireRefused(t, p.interceptor.Create(t.Context(), id, dir), codes.InvalidArgument, "config.json")
	require.NoError(t, p.create(), "it asked for nothing that could be understood")

	require.NoError(t, os.Remove(dir+"/config.json"))
	require.NoError(t, p.interceptor.Create(t.Context(), id, dir), "the inner shim has the word for it")
}
