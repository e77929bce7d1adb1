// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

func (s *service) WriteStdin(_ context.Context, r *agent.WriteStreamRequest) (*agent.WriteStreamResponse, error) {
	p, err := s.containers.process(r.ContainerId, r.ExecId)
	if err != nil {
		return nil, err
	}
	n, err := p.stdin.Write(r.Data)
	if err != nil {
		return nil, err
	}
	return &agent.WriteStreamResponse{Len: uint32(n)}, nil
}

func (s *service) ReadStdout(_ context.Context, r *agent.ReadStreamRequest) (*agent.ReadStreamResponse, error) {
	p, err := s.containers.process(r.ContainerId, r.ExecId)
	if err != nil {
		return nil, err
	}
	return readStream(p.stdout, p.stdoutEnd, r.Len)
}

func (s *service) ReadStderr(_ context.Context, r *agent.ReadStreamRequest) (*agent.ReadStreamResponse, error) {
	p, err := s.containers.process(r.ContainerId, r.ExecId)
	if err != nil {
		return nil, err
	}
	return readStream(p.stderr, p.stderrEnd, r.Len)
}

// readStream blocks until there is something to read. The end of a stream is
// an error in Kata's protocol.
func readStream(stream io.Reader, ended func(), limit uint32) (*agent.ReadStreamResponse, error) {
	const most = 64 << 10
	data := make([]byte, min(max(limit, 1), most))
	n, err := stream.Read(data)
	if n > 0 {
		return &agent.ReadStreamResponse{Data: data[:n]}, nil
	}
	ended()
	return nil, err
}

func (s *service) CloseStdin(_ context.Context, r *agent.CloseStdinRequest) (*emptypb.Empty, error) {
	p, err := s.containers.process(r.ContainerId, r.ExecId)
	if err != nil {
		return nil, err
	}
	return empty, p.closeInput()
}

func (s *service) TtyWinResize(_ context.Context, r *agent.TtyWinResizeRequest) (*emptypb.Empty, error) {
	p, err := s.containers.process(r.ContainerId, r.ExecId)
	if err != nil {
		return nil, err
	}
	return empty, p.resize(r.Row, r.Column)
}
