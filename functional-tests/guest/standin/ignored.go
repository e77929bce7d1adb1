// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// ignored are the methods that have no meaning in the test guest. Kata calls
// some of them on every start, so they succeed.
type ignored struct{}

func (ignored) UpdateEphemeralMounts(context.Context, *agent.UpdateEphemeralMountsRequest) (*emptypb.Empty, error) {
	return empty, nil
}

func (ignored) RemoveStaleVirtiofsShareMounts(context.Context, *agent.RemoveStaleVirtiofsShareMountsRequest) (*emptypb.Empty, error) {
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
