// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

var empty = &emptypb.Empty{}

// service answers Kata's AgentService. The methods about containers and
// processes have a meaning; what is about network, memory and policy is in
// ignored, which says yes.
type service struct {
	ignored
	records    *recorder
	containers *containers
}

func newService(records *recorder) *service {
	return &service{records: records, containers: newContainers()}
}

func (s *service) CreateContainer(_ context.Context, r *agent.CreateContainerRequest) (*emptypb.Empty, error) {
	if err := s.records.add(r); err != nil {
		return nil, err
	}
	if err := s.containers.create(r); err != nil {
		return nil, err
	}
	log.Printf("created container %s: %d devices, %d storages, args %q", r.ContainerId, len(r.Devices), len(r.Storages), r.GetOCI().GetProcess().GetArgs())
	return empty, nil
}

func (s *service) StartContainer(_ context.Context, r *agent.StartContainerRequest) (*emptypb.Empty, error) {
	c, err := s.containers.get(r.ContainerId)
	if err != nil {
		return nil, err
	}
	if err := c.start(); err != nil {
		return nil, err
	}
	log.Printf("started container %s", r.ContainerId)
	return empty, nil
}

func (s *service) RemoveContainer(_ context.Context, r *agent.RemoveContainerRequest) (*emptypb.Empty, error) {
	if err := s.containers.remove(r.ContainerId); err != nil {
		return nil, err
	}
	log.Printf("removed container %s", r.ContainerId)
	return empty, nil
}

func (s *service) ExecProcess(_ context.Context, r *agent.ExecProcessRequest) (*emptypb.Empty, error) {
	c, err := s.containers.get(r.ContainerId)
	if err != nil {
		return nil, err
	}
	return empty, c.exec(r.ExecId, r.Process)
}

func (s *service) SignalProcess(_ context.Context, r *agent.SignalProcessRequest) (*emptypb.Empty, error) {
	c, err := s.containers.get(r.ContainerId)
	if err != nil {
		return nil, err
	}
	log.Printf("signal %d to container %s, process %q", r.Signal, r.ContainerId, r.ExecId)
	return empty, c.signal(r.ExecId, r.Signal)
}

func (s *service) WaitProcess(ctx context.Context, r *agent.WaitProcessRequest) (*agent.WaitProcessResponse, error) {
	p, err := s.containers.process(r.ContainerId, r.ExecId)
	if err != nil {
		return nil, err
	}
	status, err := p.wait(ctx)
	if err != nil {
		return nil, err
	}
	return &agent.WaitProcessResponse{Status: status}, nil
}

func (s *service) DestroySandbox(context.Context, *agent.DestroySandboxRequest) (*emptypb.Empty, error) {
	log.Print("destroying the sandbox")
	s.containers.removeAll()
	return empty, nil
}
