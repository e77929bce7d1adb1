// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/disk"
	"github.com/kata-tes/kata-tes/agent-ext/filesystem"
	"github.com/kata-tes/kata-tes/agent-ext/luks"
	"github.com/kata-tes/kata-tes/agent-ext/store"
	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/agentproto/traceparent"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/mdlayher/vsock"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const patience = 20 * time.Second

// serve starts a server whose store never finds a disk, and gives its socket.
func serve(t *testing.T, idle time.Duration) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := Listen("unix://" + path)
	require.NoError(t, err)
	serveOn(t, l, idle)
	return path
}

// serveOn starts a server whose store never finds a disk, and gives that.
func serveOn(t testing.TB, l net.Listener, idle time.Duration) *store.Store {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	c := config.Default()
	c.HeaderDirectory = memory(t)
	s := c.Stores[agentproto.ImageStore]
	s.FindTimeout = config.Duration(time.Hour)
	s.MountPoints = []string{filepath.Join(t.TempDir(), "image")}
	c.Stores[agentproto.ImageStore] = s
	target, err := store.New(agentproto.ImageStore, c, nil, logrus.NewEntry(log))
	require.NoError(t, err)
	server := &Server{
		Stores: map[string]*store.Store{agentproto.ImageStore: target},
		Agent:  "1.2.3", Idle: idle, Log: logrus.NewEntry(log),
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return target
}

// memory is a directory in memory, as the header's must be.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "kata-tes-test-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func connect(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func client(t *testing.T, path string) agentv1.TrustedStoreService {
	t.Helper()
	c := ttrpc.NewClient(connect(t, path))
	t.Cleanup(func() { _ = c.Close() })
	return agentv1.NewTrustedStoreClient(c)
}

func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func TestVersion(t *testing.T) {
	v, err := client(t, serve(t, time.Minute)).Version(within(t, patience), &agentv1.VersionRequest{})
	require.NoError(t, err)
	require.Equal(t, agentproto.ProtocolVersion, v.GetProtocol())
	require.Equal(t, "1.2.3", v.GetAgent())
}

func TestRequestsAreChecked(t *testing.T) {
	c := client(t, serve(t, time.Minute))
	ctx := within(t, patience)
	good := string(agentproto.NewMarker())
	for _, r := range []*agentv1.PrepareRequest{
		{},
		{Store: "other", Marker: good},
		{Store: agentproto.ImageStore},
		{Store: agentproto.ImageStore, Marker: "tes-"},
		{Store: agentproto.ImageStore, Marker: good + "0"},
		{Store: agentproto.ImageStore, Marker: "../../../../etc/pass"},
	} {
		_, err := c.Prepare(ctx, r)
		require.Equal(t, codes.InvalidArgument, status.Code(err), "%v: %v", r, err)
		_, err = c.Release(ctx, &agentv1.ReleaseRequest{Store: r.GetStore(), Marker: r.GetMarker()})
		require.Equal(t, codes.InvalidArgument, status.Code(err), "%v: %v", r, err)
	}
	_, err := c.Status(ctx, &agentv1.StatusRequest{Store: "other"})
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}

func TestLife(t *testing.T) {
	path := serve(t, time.Minute)
	c := client(t, path)
	ctx := within(t, patience)
	marker := string(agentproto.NewMarker())

	answer, err := c.Status(ctx, &agentv1.StatusRequest{Store: agentproto.ImageStore})
	require.NoError(t, err)
	require.Equal(t, agentv1.State_STATE_ABSENT, answer.GetState())
	require.Equal(t, config.Default().Stores[agentproto.ImageStore].Profile.Name, answer.GetProfile())
	require.NotEmpty(t, answer.GetProfile())
	_, err = c.Release(ctx, &agentv1.ReleaseRequest{Store: agentproto.ImageStore, Marker: marker})
	require.NoError(t, err)

	// Nobody plugs a disk in: the preparation runs until it is released.
	outcome := make(chan error, 1)
	go func() {
		_, err := c.Prepare(ctx, &agentv1.PrepareRequest{Store: agentproto.ImageStore, Marker: marker})
		outcome <- err
	}()
	require.Eventually(t, func() bool {
		answer, err := c.Status(ctx, &agentv1.StatusRequest{Store: agentproto.ImageStore})
		return err == nil && answer.GetState() == agentv1.State_STATE_PREPARING && answer.GetMarker() == marker
	}, patience, time.Millisecond)
	_, err = c.Prepare(ctx, &agentv1.PrepareRequest{Store: agentproto.ImageStore, Marker: string(agentproto.NewMarker())})
	require.Equal(t, codes.AlreadyExists, status.Code(err))
	_, err = c.Release(ctx, &agentv1.ReleaseRequest{Store: agentproto.ImageStore, Marker: string(agentproto.NewMarker())})
	require.Equal(t, codes.FailedPrecondition, status.Code(err))
	_, err = c.Release(ctx, &agentv1.ReleaseRequest{Store: agentproto.ImageStore, Marker: marker})
	require.NoError(t, err)
	require.Equal(t, codes.Canceled, status.Code(<-outcome))
}

// A caller that hangs up takes its preparation with it.
func TestHangUpCancels(t *testing.T) {
	path := serve(t, time.Minute)
	conn := connect(t, path)
	caller := ttrpc.NewClient(conn)
	go func() {
		_, _ = agentv1.NewTrustedStoreClient(caller).Prepare(context.Background(), &agentv1.PrepareRequest{
			Store: agentproto.ImageStore, Marker: string(agentproto.NewMarker()),
		})
	}()
	state := func(want agentv1.State) {
		c := client(t, path)
		require.Eventually(t, func() bool {
			answer, err := c.Status(within(t, patience), &agentv1.StatusRequest{Store: agentproto.ImageStore})
			return err == nil && answer.GetState() == want
		}, patience, time.Millisecond)
	}
	state(agentv1.State_STATE_PREPARING)
	require.NoError(t, caller.Close())
	state(agentv1.State_STATE_ABSENT)
}

func TestTooManyConnections(t *testing.T) {
	path := serve(t, time.Minute)
	var open []net.Conn
	for range maxConnections {
		open = append(open, connect(t, path))
	}
	// Accepted in order: when one more is hung up on, all others were let in.
	extra := connect(t, path)
	require.NoError(t, extra.SetDeadline(time.Now().Add(patience)))
	_, err := extra.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	// A place that becomes free is given away again.
	require.NoError(t, open[0].Close())
	require.Eventually(t, func() bool {
		_, err := client(t, path).Version(within(t, patience), &agentv1.VersionRequest{})
		return err == nil
	}, patience, 10*time.Millisecond)
}

func TestTooManyCalls(t *testing.T) {
	path := serve(t, time.Minute)
	marker := string(agentproto.NewMarker())
	c := client(t, path)
	outcomes := make(chan error, maxCalls+1)
	for range maxCalls + 1 {
		go func() {
			_, err := c.Prepare(within(t, patience), &agentv1.PrepareRequest{Store: agentproto.ImageStore, Marker: marker})
			outcomes <- err
		}()
	}
	require.Equal(t, codes.ResourceExhausted, status.Code(<-outcomes))
}

func TestSilentConnection(t *testing.T) {
	conn := connect(t, serve(t, 50*time.Millisecond))
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func frame(length, stream uint32, kind byte, payload []byte) []byte {
	b := make([]byte, frameHeader, frameHeader+len(payload))
	binary.BigEndian.PutUint32(b, length)
	binary.BigEndian.PutUint32(b[4:], stream)
	b[8] = kind
	return append(b, payload...)
}

// Frames that ttrpc's server would not survive, or pay dearly for.
func TestForbiddenFrames(t *testing.T) {
	path := serve(t, time.Minute)
	for name, bytes := range map[string][]byte{
		"large":    frame(maxFrame+1, 1, frameRequest, nil),
		"huge":     frame(1<<32-1, 1, frameRequest, nil),
		"data":     frame(0, 1, 3, nil),
		"response": frame(0, 1, 2, nil),
		"garbage":  []byte("GET / HTTP/1.1\r\nHost: guest\r\n\r\n"),
	} {
		conn := connect(t, path)
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err := conn.Write(bytes)
		require.NoError(t, err, name)
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, name)
	}
	// A data frame for a call that runs.
	conn := connect(t, path)
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err := conn.Write(append(frame(0, 1, frameRequest, nil), frame(0, 1, 3, nil)...))
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, conn)
	require.NoError(t, err)

	_, err = client(t, path).Version(within(t, patience), &agentv1.VersionRequest{})
	require.NoError(t, err, "the server goes on")
}

func TestFramesInPieces(t *testing.T) {
	whole := append(frame(5, 1, frameRequest, []byte("hello")), frame(0, 3, frameRequest, nil)...)
	whole = append(whole, frame(maxFrame, 5, frameRequest, make([]byte, maxFrame))...)
	for _, size := range []int{1, 2, 3, 7, 10, 11, len(whole)} {
		var f frames
		for rest := whole; len(rest) > 0; {
			n := min(size, len(rest))
			require.True(t, f.allow(rest[:n]), size)
			rest = rest[n:]
		}
		require.False(t, f.allow(frame(0, 7, 3, nil)))
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(frame(5, 1, frameRequest, []byte("hello")), 3)
	f.Add(frame(0, 1, 3, nil), 1)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		// In pieces or at once: the verdict is the same.
		var whole, pieces frames
		want := whole.allow(stream)
		got := true
		for rest := stream; got && len(rest) > 0; {
			n := min(max(size, 1), len(rest))
			got = pieces.allow(rest[:n])
			rest = rest[n:]
		}
		require.Equal(t, want, got)
	})
}

func TestOnlyTheHost(t *testing.T) {
	require.True(t, isHost(&vsock.Addr{ContextID: vsock.Host, Port: 5}))
	require.False(t, isHost(&vsock.Addr{ContextID: vsock.Local}))
	require.False(t, isHost(&vsock.Addr{ContextID: 42}))
	require.False(t, isHost(&net.UnixAddr{Name: "x"}))
}

func TestListenAddresses(t *testing.T) {
	for _, bad := range []string{"", "tcp://1.2.3.4:5", "/path", "unix:///no/such/dir/s"} {
		_, err := Listen(bad)
		require.Error(t, err, bad)
	}
	// A socket that an earlier process left.
	path := filepath.Join(t.TempDir(), "s")
	first, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	require.NoError(t, err)
	first.SetUnlinkOnClose(false)
	require.NoError(t, first.Close())
	second, err := Listen("unix://" + path)
	require.NoError(t, err)
	require.NoError(t, second.Close())
}

func TestCodes(t *testing.T) {
	other := errors.New("cryptsetup printed this")
	for _, c := range []struct {
		err              error
		prepare, release codes.Code
	}{
		{other, codes.Internal, codes.Internal},
		{disk.ErrNotFound, codes.NotFound, codes.NotFound},
		{errors.Join(disk.ErrNotFound, context.DeadlineExceeded), codes.NotFound, codes.NotFound},
		{disk.ErrUnfit, codes.FailedPrecondition, codes.FailedPrecondition},
		{luks.ErrTable, codes.DataLoss, codes.DataLoss},
		{luks.ErrInUse, codes.FailedPrecondition, codes.FailedPrecondition},
		{luks.ErrTaken, codes.FailedPrecondition, codes.FailedPrecondition},
		{filesystem.ErrInUse, codes.FailedPrecondition, codes.FailedPrecondition},
		{filesystem.ErrMountPoint, codes.FailedPrecondition, codes.FailedPrecondition},
		{store.ErrGuest, codes.FailedPrecondition, codes.FailedPrecondition},
		{store.ErrOtherMarker, codes.AlreadyExists, codes.FailedPrecondition},
		{store.ErrDirty, codes.FailedPrecondition, codes.Internal},
		{fmt.Errorf("%w: %w", store.ErrDirty, luks.ErrInUse), codes.FailedPrecondition, codes.Internal},
		{store.ErrReleased, codes.Canceled, codes.Canceled},
		{store.ErrStopping, codes.Canceled, codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded, codes.DeadlineExceeded},
		{context.Canceled, codes.Canceled, codes.Canceled},
	} {
		wrapped := fmt.Errorf("doing it: %w", c.err)
		require.Equal(t, c.prepare, status.Code(toStatus(wrapped)), "%v", c.err)
		require.Equal(t, c.release, status.Code(toReleaseStatus(wrapped)), "%v", c.err)
		require.ErrorContains(t, toStatus(wrapped), c.err.Error())
	}
}

// A mount point that is not empty is told from a disk that is unfit.
func TestReasons(t *testing.T) {
	reason := func(err error) agentv1.Reason {
		for _, detail := range status.Convert(toStatus(fmt.Errorf("doing it: %w", err))).Details() {
			if refusal, ok := detail.(*agentv1.Refusal); ok {
				return refusal.GetReason()
			}
		}
		return agentv1.Reason_REASON_UNSPECIFIED
	}
	require.Equal(t, agentv1.Reason_REASON_MOUNT_POINT_OCCUPIED, reason(filesystem.ErrMountPoint))
	for _, other := range []error{
		disk.ErrUnfit, store.ErrGuest, luks.ErrTable, errors.New("other"), context.DeadlineExceeded,
		fmt.Errorf("%w: %w", store.ErrDirty, filesystem.ErrMountPoint),
		fmt.Errorf("%w: %w", luks.ErrTable, filesystem.ErrMountPoint),
	} {
		require.Equal(t, agentv1.Reason_REASON_UNSPECIFIED, reason(other), other)
	}
}

// The host is told how far a preparation came, whatever it failed of.
func TestStepsOfAFailure(t *testing.T) {
	for _, cause := range []error{errors.New("mkfs: no"), disk.ErrUnfit, filesystem.ErrMountPoint} {
		err := &store.FailedError{Err: cause, Steps: []store.Step{{Name: "find", Took: time.Second}, {Name: "verify", Took: time.Millisecond}}}
		details := status.Convert(toStatus(fmt.Errorf("doing it: %w", err))).Details()
		require.Len(t, details, 1)
		said := details[0].(*agentv1.Refusal).GetSteps()
		require.Len(t, said, 2)
		require.Equal(t, "verify", said[1].GetName())
		require.Equal(t, time.Second, said[0].GetTook().AsDuration())
	}
	require.Empty(t, status.Convert(toStatus(errors.New("other"))).Details())
}

// A host may say which trace a call belongs to, or anything else in its place.
func TestTheTraceOfACall(t *testing.T) {
	const header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for said, want := range map[string]string{header: header, "": "", "x": "", header + "x": "", strings.Repeat("0", 1<<20): ""} {
		ctx := ttrpc.WithMetadata(t.Context(), ttrpc.MD{traceparent.Key: {said}})
		_, err := trace(ctx, nil, nil, func(ctx context.Context, _ func(any) error) (any, error) {
			caller, ok := traceparent.FromContext(ctx)
			require.Equal(t, want != "", ok)
			if ok {
				require.Equal(t, want, caller.String())
			}
			return nil, nil
		})
		require.NoError(t, err)
	}
}

func TestPanicInACall(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	s := &Server{Log: logrus.NewEntry(log)}
	_, err := s.contain(t.Context(), nil, &ttrpc.UnaryServerInfo{FullMethod: "/x"}, func(context.Context, func(any) error) (any, error) {
		panic("oops")
	})
	require.Equal(t, codes.Internal, status.Code(err))
	require.NotContains(t, err.Error(), "oops")
}
