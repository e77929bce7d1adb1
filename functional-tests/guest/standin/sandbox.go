// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strings"

	"github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols"
	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/kata-tes/kata-tes/functional-tests/guest/network"
	"github.com/kata-tes/kata-tes/functional-tests/guest/sandbox"
)

// CreateSandbox comes after the network has been set up.
func (s *service) CreateSandbox(_ context.Context, r *agent.CreateSandboxRequest) (*emptypb.Empty, error) {
	for _, module := range r.KernelModules {
		output, err := exec.Command("/sbin/modprobe", append([]string{module.Name}, module.Parameters...)...).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("loading kernel module %s: %w: %s", module.Name, err, strings.TrimSpace(string(output)))
		}
	}
	if err := network.Loopback(); err != nil {
		return nil, err
	}
	if len(r.Dns) > 0 {
		if err := os.WriteFile("/etc/resolv.conf", []byte(strings.Join(r.Dns, "\n")+"\n"), 0o644); err != nil {
			return nil, fmt.Errorf("setting up name resolution: %w", err)
		}
	}
	if err := s.containers.createSandbox(r); err != nil {
		return nil, err
	}
	return empty, nil
}

func (s *service) DestroySandbox(ctx context.Context, _ *agent.DestroySandboxRequest) (*emptypb.Empty, error) {
	log.Print("destroying the sandbox")
	return empty, s.containers.removeAll(ctx)
}

func (s *service) CopyFile(_ context.Context, r *agent.CopyFileRequest) (*emptypb.Empty, error) {
	return empty, sandbox.CopyFile(s.containers.folders.shared, r)
}

func (s *service) UpdateInterface(_ context.Context, r *agent.UpdateInterfaceRequest) (*protocols.Interface, error) {
	if err := network.UpdateInterface(r.Interface); err != nil {
		return nil, err
	}
	log.Printf("interface %v", r.Interface)
	return r.Interface, nil
}

func (s *service) UpdateRoutes(_ context.Context, r *agent.UpdateRoutesRequest) (*agent.Routes, error) {
	if err := network.UpdateRoutes(r.GetRoutes().GetRoutes()); err != nil {
		return nil, err
	}
	log.Printf("routes %v", r.GetRoutes().GetRoutes())
	routes, err := network.Routes()
	if err != nil {
		return nil, err
	}
	return &agent.Routes{Routes: routes}, nil
}

func (s *service) AddARPNeighbors(_ context.Context, r *agent.AddARPNeighborsRequest) (*emptypb.Empty, error) {
	return empty, network.AddNeighbors(r.GetNeighbors().GetARPNeighbors())
}

func (s *service) ListInterfaces(context.Context, *agent.ListInterfacesRequest) (*agent.Interfaces, error) {
	interfaces, err := network.Interfaces()
	if err != nil {
		return nil, err
	}
	return &agent.Interfaces{Interfaces: interfaces}, nil
}

func (s *service) ListRoutes(context.Context, *agent.ListRoutesRequest) (*agent.Routes, error) {
	routes, err := network.Routes()
	if err != nil {
		return nil, err
	}
	return &agent.Routes{Routes: routes}, nil
}
