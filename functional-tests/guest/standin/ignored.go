// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols"
	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// ignored are the methods that have no meaning without real containers. Kata
// calls many of them on every start, so they succeed.
type ignored struct{}

func (ignored) CreateSandbox(context.Context, *agent.CreateSandboxRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) UpdateContainer(context.Context, *agent.UpdateContainerRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) UpdateEphemeralMounts(context.Context, *agent.UpdateEphemeralMountsRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) StatsContainer(context.Context, *agent.StatsContainerRequest) (*agent.StatsContainerResponse, error) {
	return &agent.StatsContainerResponse{CgroupStats: &agent.CgroupStats{}}, nil
}

func (ignored) PauseContainer(context.Context, *agent.PauseContainerRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) ResumeContainer(context.Context, *agent.ResumeContainerRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) RemoveStaleVirtiofsShareMounts(context.Context, *agent.RemoveStaleVirtiofsShareMountsRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) UpdateInterface(_ context.Context, r *agent.UpdateInterfaceRequest) (*protocols.Interface, error) {
	return r.Interface, nil
}

func (ignored) UpdateRoutes(_ context.Context, r *agent.UpdateRoutesRequest) (*agent.Routes, error) {
	return r.Routes, nil
}

func (ignored) ListInterfaces(context.Context, *agent.ListInterfacesRequest) (*agent.Interfaces, error) {
	return &agent.Interfaces{}, nil
}

func (ignored) ListRoutes(context.Context, *agent.ListRoutesRequest) (*agent.Routes, error) {
	return &agent.Routes{}, nil
}

func (ignored) AddARPNeighbors(context.Context, *agent.AddARPNeighborsRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) GetIPTables(context.Context, *agent.GetIPTablesRequest) (*agent.GetIPTablesResponse, error) {
	return &agent.GetIPTablesResponse{}, nil
}

func (ignored) SetIPTables(context.Context, *agent.SetIPTablesRequest) (*agent.SetIPTablesResponse, error) {
	return &agent.SetIPTablesResponse{}, nil
}

func (ignored) GetMetrics(context.Context, *agent.GetMetricsRequest) (*agent.Metrics, error) {
	return &agent.Metrics{}, nil
}

func (ignored) MemAgentMemcgSet(context.Context, *agent.MemAgentMemcgConfig) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) MemAgentCompactSet(context.Context, *agent.MemAgentCompactConfig) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) OnlineCPUMem(context.Context, *agent.OnlineCPUMemRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) ReseedRandomDev(context.Context, *agent.ReseedRandomDevRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) GetGuestDetails(context.Context, *agent.GuestDetailsRequest) (*agent.GuestDetailsResponse, error) {
	return &agent.GuestDetailsResponse{AgentDetails: &agent.AgentDetails{Version: standinVersion}}, nil
}

func (ignored) MemHotplugByProbe(context.Context, *agent.MemHotplugByProbeRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) SetGuestDateTime(context.Context, *agent.SetGuestDateTimeRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) CopyFile(context.Context, *agent.CopyFileRequest) (*emptypb.Empty, error) {
	return empty, nil
}

// GetOOMEvent answers when a container runs out of memory. None does.
func (ignored) GetOOMEvent(ctx context.Context, _ *agent.GetOOMEventRequest) (*agent.OOMEvent, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (ignored) AddSwap(context.Context, *agent.AddSwapRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) AddSwapPath(context.Context, *agent.AddSwapPathRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) GetVolumeStats(context.Context, *agent.VolumeStatsRequest) (*agent.VolumeStatsResponse, error) {
	return &agent.VolumeStatsResponse{}, nil
}

func (ignored) ResizeVolume(context.Context, *agent.ResizeVolumeRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) SetPolicy(context.Context, *agent.SetPolicyRequest) (*emptypb.Empty, error) {
	return empty, nil
}
