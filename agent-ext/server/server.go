// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package server serves the stores to the host by ttrpc
// (agentproto/v1/trusted_store.proto). It decides nothing: it checks the form
// of requests, calls the stores, and turns errors into gRPC codes.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/kata-tes/kata-tes/agent-ext/disk"
	"github.com/kata-tes/kata-tes/agent-ext/filesystem"
	"github.com/kata-tes/kata-tes/agent-ext/store"
	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Server is the service TrustedStore.
type Server struct {
	// Stores by name.
	Stores map[string]*store.Store
	// Agent is this program's version, for people.
	Agent string
	// Idle is how long a connection may say nothing; longer than any call.
	Idle time.Duration
	Log  *logrus.Entry
}

// Serve answers on the listener until ctx ends, and then undoes preparations
// that run. Stores that are ready stay: containers work on them.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	calls := make(chan struct{}, maxCalls)
	server, err := ttrpc.NewServer(ttrpc.WithChainUnaryServerInterceptor(s.contain, bound(calls)))
	if err != nil {
		return fmt.Errorf("making a ttrpc server: %w", err)
	}
	agentv1.RegisterTrustedStoreService(server, s)
	stop := context.AfterFunc(ctx, func() {
		if err := server.Close(); err != nil {
			s.Log.WithError(err).Warn("closing the server")
		}
	})
	defer stop()
	// Not ctx: calls that run are ended by stopStores, which waits for them.
	err = server.Serve(context.WithoutCancel(ctx), limit(listener, s.Idle))
	if err != nil && !errors.Is(err, ttrpc.ErrServerClosed) {
		err = fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	} else {
		err = nil
	}
	return errors.Join(err, s.stopStores())
}

// stopTimeout bounds the undoing at the end, as does systemd's TimeoutStopSec.
const stopTimeout = 60 * time.Second

func (s *Server) stopStores() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var errs []error
	for name, target := range s.Stores {
		if err := target.Stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("ending store %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// bound refuses calls beyond the capacity of the channel.
func bound(calls chan struct{}) ttrpc.UnaryServerInterceptor {
	return func(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
		select {
		case calls <- struct{}{}:
			defer func() { <-calls }()
			return method(ctx, unmarshal)
		default:
			return nil, status.Errorf(codes.ResourceExhausted, "more than %d calls at a time", cap(calls))
		}
	}
}

// contain keeps a panic in one call from ending the process.
func (s *Server) contain(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (answer any, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.WithField("stack", string(debug.Stack())).Errorf("panic in %s: %v", info.FullMethod, p)
			answer, err = nil, status.Errorf(codes.Internal, "the guest agent extension failed in %s; see its log", info.FullMethod)
		}
	}()
	return method(ctx, unmarshal)
}

// Version implements the service.
func (s *Server) Version(context.Context, *agentv1.VersionRequest) (*agentv1.VersionResponse, error) {
	return &agentv1.VersionResponse{Protocol: agentproto.ProtocolVersion, Agent: s.Agent}, nil
}

// Prepare implements the service.
func (s *Server) Prepare(ctx context.Context, r *agentv1.PrepareRequest) (*agentv1.PrepareResponse, error) {
	target, err := s.store(r.GetStore())
	if err != nil {
		return nil, err
	}
	marker, err := parseMarker(r.GetMarker())
	if err != nil {
		return nil, err
	}
	ready, err := target.Prepare(ctx, marker)
	if err != nil {
		return nil, toStatus(err)
	}
	return answer(ready), nil
}

func answer(ready *store.Ready) *agentv1.PrepareResponse {
	response := &agentv1.PrepareResponse{
		Mapping:     ready.Mapping,
		MountPoints: ready.MountPoints,
		SizeBytes:   ready.Size,
	}
	for _, step := range ready.Steps {
		response.Steps = append(response.Steps, &agentv1.Step{Name: step.Name, Took: durationpb.New(step.Took)})
	}
	return response
}

// Status implements the service.
func (s *Server) Status(_ context.Context, r *agentv1.StatusRequest) (*agentv1.StatusResponse, error) {
	target, err := s.store(r.GetStore())
	if err != nil {
		return nil, err
	}
	state, marker, ready, reason := target.Status()
	response := &agentv1.StatusResponse{State: states[state], Marker: string(marker)}
	if reason != nil {
		response.Reason = reason.Error()
	}
	if ready != nil {
		s.describe(response, ready, s.Log.WithField("store", r.GetStore()))
	}
	return response, nil
}

// describe adds what file system and disk say. A disk that the host took away
// can't be asked; the store is still the one that was made.
func (s *Server) describe(response *agentv1.StatusResponse, ready *store.Ready, log *logrus.Entry) {
	var err error
	response.SizeBytes, response.UsedBytes, err = filesystem.Usage(ready.MountPoints[0])
	if err != nil {
		log.WithError(err).Warn("the store's use is unknown")
	}
	requests, err := disk.System{}.Requests(ready.Disk)
	if err != nil {
		log.WithError(err).Warn("whether the store's disk answers is unknown")
	}
	response.DiskRequestsWaiting, response.DiskRequestsAnswered = requests.Waiting, requests.Answered
}

var states = map[store.State]agentv1.State{
	store.Absent:    agentv1.State_STATE_ABSENT,
	store.Preparing: agentv1.State_STATE_PREPARING,
	store.Prepared:  agentv1.State_STATE_READY,
	store.Failed:    agentv1.State_STATE_FAILED,
}

// Release implements the service.
func (s *Server) Release(ctx context.Context, r *agentv1.ReleaseRequest) (*agentv1.ReleaseResponse, error) {
	target, err := s.store(r.GetStore())
	if err != nil {
		return nil, err
	}
	marker, err := parseMarker(r.GetMarker())
	if err != nil {
		return nil, err
	}
	if err := target.Release(ctx, marker); err != nil {
		return nil, toReleaseStatus(err)
	}
	return &agentv1.ReleaseResponse{}, nil
}

func (s *Server) store(name string) (*store.Store, error) {
	if target, ok := s.Stores[name]; ok {
		return target, nil
	}
	return nil, status.Errorf(codes.InvalidArgument, "the guest's agent.toml has no store %.64q", name)
}

func parseMarker(text string) (agentproto.Marker, error) {
	marker, err := agentproto.ParseMarker(text)
	if err != nil {
		return "", status.Error(codes.InvalidArgument, err.Error())
	}
	return marker, nil
}
