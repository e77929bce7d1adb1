// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

var empty = &emptypb.Empty{}

// service answers Kata's AgentService. What has no meaning in the test guest
// is in ignored, which says yes.
type service struct {
	ignored
	records    *recorder
	containers *containers
	// ooms has containers that ran out of memory.
	ooms chan string
}

func newService(records *recorder, containers *containers) *service {
	return &service{records: records, containers: containers, ooms: make(chan string, 64)}
}

func (s *service) CreateContainer(ctx context.Context, r *agent.CreateContainerRequest) (*emptypb.Empty, error) {
	started := time.Now()
	if err := s.records.add(r); err != nil {
		return nil, err
	}
	if err := s.containers.create(ctx, r); err != nil {
		log.Print(err)
		return nil, err
	}
	log.Printf("created container %s in %.1f s: %d devices, %d storages, args %q", r.ContainerId, time.Since(started).Seconds(),
		len(r.Devices), len(r.Storages), r.GetOCI().GetProcess().GetArgs())
	return empty, nil
}

func (s *service) StartContainer(ctx context.Context, r *agent.StartContainerRequest) (*emptypb.Empty, error) {
	c, err := s.containers.get(r.ContainerId)
	if err != nil {
		return nil, err
	}
	if err := c.start(ctx); err != nil {
		log.Print(err)
		return nil, err
	}
	go s.watchMemory(c)
	log.Printf("started container %s", r.ContainerId)
	return empty, nil
}

// watchMemory reports a container whose end the lack of memory was.
func (s *service) watchMemory(c *container) {
	<-c.first.ended
	if c.ranOutOfMemory() {
		log.Printf("container %s ran out of memory", c.id)
		s.ooms <- c.id
	}
}

// GetOOMEvent answers when a container ran out of memory.
func (s *service) GetOOMEvent(ctx context.Context, _ *agent.GetOOMEventRequest) (*agent.OOMEvent, error) {
	select {
	case id := <-s.ooms:
		return &agent.OOMEvent{ContainerId: id}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *service) RemoveContainer(ctx context.Context, r *agent.RemoveContainerRequest) (*emptypb.Empty, error) {
	if err := s.containers.remove(ctx, r.ContainerId); err != nil {
		log.Print(err)
		return nil, err
	}
	log.Printf("removed container %s", r.ContainerId)
	return empty, nil
}

func (s *service) ExecProcess(ctx context.Context, r *agent.ExecProcessRequest) (*emptypb.Empty, error) {
	c, err := s.containers.get(r.ContainerId)
	if err != nil {
		return nil, err
	}
	if r.GetProcess() == nil || len(r.Process.Args) == 0 {
		return nil, errgrpc.ToGRPCf(errdefs.ErrInvalidArgument, "no program to run")
	}
	return empty, c.exec(ctx, r.ExecId, r.Process)
}

func (s *service) SignalProcess(ctx context.Context, r *agent.SignalProcessRequest) (*emptypb.Empty, error) {
	c, err := s.containers.get(r.ContainerId)
	if err != nil {
		return nil, err
	}
	log.Printf("signal %d to container %s, process %q", r.Signal, r.ContainerId, r.ExecId)
	return empty, c.signal(ctx, r.ExecId, r.Signal)
}

func (s *service) WaitProcess(ctx context.Context, r *agent.WaitProcessRequest) (*agent.WaitProcessResponse, error) {
	c, err := s.containers.get(r.ContainerId)
	if err != nil {
		return nil, err
	}
	p, err := c.process(r.ExecId)
	if err != nil {
		return nil, err
	}
	status, err := p.wait(ctx)
	if err != nil {
		return nil, err
	}
	go func() {
		// Kata may still read what it wrote.
		p.output.Wait()
		if err := c.forget(r.ExecId); err != nil {
			log.Printf("process %s of container %s: %v", r.ExecId, c.id, err)
		}
	}()
	return &agent.WaitProcessResponse{Status: status}, nil
}

func (s *service) UpdateContainer(ctx context.Context, r *agent.UpdateContainerRequest) (*emptypb.Empty, error) {
	c, err := s.containers.get(r.ContainerId)
	if err != nil {
		return nil, err
	}
	return empty, c.update(ctx, r.GetResources())
}

func (s *service) StatsContainer(_ context.Context, r *agent.StatsContainerRequest) (*agent.StatsContainerResponse, error) {
	c, err := s.containers.get(r.ContainerId)
	if err != nil {
		return nil, err
	}
	stats, err := c.stats()
	if err != nil {
		return nil, err
	}
	return &agent.StatsContainerResponse{CgroupStats: stats}, nil
}

func (s *service) PauseContainer(ctx context.Context, r *agent.PauseContainerRequest) (*emptypb.Empty, error) {
	c, err := s.containers.get(r.ContainerId)
	if err != nil {
		return nil, err
	}
	return empty, c.pause(ctx)
}

func (s *service) ResumeContainer(ctx context.Context, r *agent.ResumeContainerRequest) (*emptypb.Empty, error) {
	c, err := s.containers.get(r.ContainerId)
	if err != nil {
		return nil, err
	}
	return empty, c.resume(ctx)
}
