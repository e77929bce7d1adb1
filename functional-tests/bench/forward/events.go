// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// serveEvents takes the inner shim's events, as containerd does: a shim whose
// events nobody takes stops after some.
func serveEvents(path string) (*ttrpc.Server, error) {
	server, err := ttrpc.NewServer()
	if err != nil {
		return nil, err
	}
	server.RegisterService("containerd.services.events.ttrpc.v1.Events", &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
		"Forward": func(_ context.Context, unmarshal func(any) error) (any, error) {
			// An Empty takes any message: what it says is unknown fields.
			return &emptypb.Empty{}, unmarshal(&emptypb.Empty{})
		},
	}})
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	go func() { _ = server.Serve(context.Background(), l) }() // ends with Close
	return server, nil
}
