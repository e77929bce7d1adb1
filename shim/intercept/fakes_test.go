// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/kata-tes/kata-tes/shim/store"
)

// fault stands in for a step that goes wrong. Nil: it goes right.
type fault func(ctx context.Context) error

func (f fault) strike(ctx context.Context) error {
	if f == nil {
		return nil
	}
	return f(ctx)
}

// hang is the fault of a part that never answers.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func failing(err error) fault { return func(context.Context) error { return err } }

// fakeVM holds its disks as QEMU does: by a duplicate of the descriptor, and so
// with the exclusive claim.
type fakeVM struct {
	mu            sync.Mutex
	disks         map[agentproto.Marker]int
	attaches      int
	onAttach      fault
	onDetach      fault
	detachesBegun int
}

func (v *fakeVM) set(onAttach, onDetach fault) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.onAttach, v.onDetach = onAttach, onDetach
}

func (v *fakeVM) Attach(ctx context.Context, dev *os.File, marker agentproto.Marker) error {
	v.mu.Lock()
	strike := v.onAttach
	v.mu.Unlock()
	if err := strike.strike(ctx); err != nil {
		return err
	}
	fd, err := unix.FcntlInt(dev.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.attaches++
	v.disks[marker] = fd
	return nil
}

// Ended: this one never ends by itself.
func (v *fakeVM) Ended(context.Context) bool { return false }

func (v *fakeVM) End(context.Context) error { return errors.New("nobody asked for the end") }

func (v *fakeVM) Detach(ctx context.Context, marker agentproto.Marker) error {
	v.mu.Lock()
	strike := v.onDetach
	v.detachesBegun++
	v.mu.Unlock()
	if err := strike.strike(ctx); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	fd, ok := v.disks[marker]
	if !ok {
		return nil
	}
	delete(v.disks, marker)
	return unix.Close(fd)
}

// die ends the virtual machine, and with it its claims.
func (v *fakeVM) die(t *testing.T) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	for marker, fd := range v.disks {
		require.NoError(t, unix.Close(fd))
		delete(v.disks, marker)
	}
}

func (v *fakeVM) attached() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.disks)
}

func (v *fakeVM) has(marker agentproto.Marker) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.disks[marker]
	return ok
}

// fakeGuest keeps the contract of trusted_store.proto, apart from the faults.
type fakeGuest struct {
	mu sync.Mutex
	// vm is where the disks are; nil where it is not a fake.
	vm        *fakeVM
	protocol  uint32
	prepared  string
	prepares  int
	released  int
	onVersion fault
	onPrepare fault
	onRelease fault
}

func (g *fakeGuest) set(change func(g *fakeGuest)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(g)
}

func (g *fakeGuest) Version(ctx context.Context, _ *agentv1.VersionRequest) (*agentv1.VersionResponse, error) {
	g.mu.Lock()
	strike, protocol := g.onVersion, g.protocol
	g.mu.Unlock()
	if err := strike.strike(ctx); err != nil {
		return nil, err
	}
	return &agentv1.VersionResponse{Protocol: protocol, Agent: "fake"}, nil
}

func (g *fakeGuest) Prepare(ctx context.Context, r *agentv1.PrepareRequest) (*agentv1.PrepareResponse, error) {
	g.mu.Lock()
	strike := g.onPrepare
	g.prepares++
	g.mu.Unlock()
	if err := strike.strike(ctx); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.GetStore() != agentproto.ImageStore {
		return nil, status.Error(codes.InvalidArgument, "no such store")
	}
	if g.prepared != "" && g.prepared != r.GetMarker() {
		return nil, status.Error(codes.AlreadyExists, "prepared on "+g.prepared)
	}
	if g.vm != nil && !g.vm.has(agentproto.Marker(r.GetMarker())) {
		return nil, status.Error(codes.NotFound, "no disk with that marker")
	}
	g.prepared = r.GetMarker()
	return &agentv1.PrepareResponse{Mapping: "m", Steps: []*agentv1.Step{{Name: "format"}}}, nil
}

func (g *fakeGuest) Status(context.Context, *agentv1.StatusRequest) (*agentv1.StatusResponse, error) {
	return &agentv1.StatusResponse{}, nil
}

func (g *fakeGuest) Release(ctx context.Context, r *agentv1.ReleaseRequest) (*agentv1.ReleaseResponse, error) {
	g.mu.Lock()
	strike := g.onRelease
	g.released++
	g.mu.Unlock()
	if err := strike.strike(ctx); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.prepared != "" && g.prepared != r.GetMarker() {
		return nil, status.Error(codes.FailedPrecondition, "on another marker")
	}
	g.prepared = ""
	return &agentv1.ReleaseResponse{}, nil
}

// guestPort is the guest's end of the vsock: a Unix socket on which, at will,
// nobody listens, somebody is silent, or the agent extension serves.
type guestPort struct {
	path string
	stop func()
}

func newGuestPort(t *testing.T) *guestPort {
	t.Helper()
	dir, err := os.MkdirTemp("", "tes")
	require.NoError(t, err)
	p := &guestPort{path: filepath.Join(dir, "guest"), stop: func() {}}
	t.Cleanup(func() {
		p.stop()
		require.NoError(t, os.RemoveAll(dir))
	})
	return p
}

// listen takes the place of the last listener. In between the port refuses.
func (p *guestPort) listen(t *testing.T) net.Listener {
	t.Helper()
	p.stop()
	l, err := net.Listen("unix", p.path+".new")
	require.NoError(t, err)
	// A vsock port leaves nothing behind that says where it was.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, os.Rename(p.path+".new", p.path))
	return l
}

// serve answers with the services that register adds.
func (p *guestPort) serve(t *testing.T, register func(s *ttrpc.Server)) {
	t.Helper()
	l := p.listen(t)
	server, err := ttrpc.NewServer()
	require.NoError(t, err)
	register(server)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(context.Background(), l) // ends with Close
	}()
	p.stop = sync.OnceFunc(func() {
		_ = server.Close() // closes l; its error is about connections that broke
		<-ended
	})
}

// beSilent takes connections and never says a word.
func (p *guestPort) beSilent(t *testing.T) {
	t.Helper()
	l := p.listen(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var conns []net.Conn
		for {
			conn, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, conn)
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	p.stop = sync.OnceFunc(func() {
		_ = l.Close()
		<-ended
	})
}

// beAbsent leaves a port on which nobody listens.
func (p *guestPort) beAbsent(t *testing.T) {
	t.Helper()
	require.NoError(t, p.listen(t).Close())
}

// fakeFinder finds what it is told to.
type fakeFinder struct {
	mu     sync.Mutex
	vm     *fakeVM
	guest  store.Guest
	onFind fault
	// instead is another finder to ask.
	instead store.Finder
}

func (f *fakeFinder) set(onFind fault, instead store.Finder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.onFind, f.instead = onFind, instead
}

func (f *fakeFinder) Find(ctx context.Context, sandboxID string) (store.VM, store.Guest, error) {
	f.mu.Lock()
	strike, instead := f.onFind, f.instead
	f.mu.Unlock()
	if instead != nil {
		return instead.Find(ctx, sandboxID)
	}
	if err := strike.strike(ctx); err != nil {
		return nil, nil, err
	}
	return f.vm, f.guest, nil
}

// endConnection is the fault of a guest that goes away in the middle of a call
// and comes back.
func endConnection(p *pod, back chan<- struct{}) fault {
	return func(ctx context.Context) error {
		go func() {
			defer close(back)
			p.port.stop()
			p.serve()
		}()
		return hang(ctx)
	}
}
