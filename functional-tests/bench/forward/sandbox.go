// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	task2 "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// sandbox is one container behind our shim.
type sandbox struct {
	id, dir, bundle string
	shim            string
	env             []string
	service         string
	log             *os.File
	events          *ttrpc.Server
	direct, through *ttrpc.Client
}

func newSandbox(ctx context.Context, shim, inner, busybox string) (_ *sandbox, err error) {
	dir, err := os.MkdirTemp("", "forward")
	if err != nil {
		return nil, err
	}
	id := fmt.Sprintf("forward-%d", os.Getpid())
	// runc's shim takes a bundle's name for the container's.
	s := &sandbox{id: id, dir: dir, bundle: filepath.Join(dir, id), shim: shim}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove())
		}
	}()
	configuration := filepath.Join(dir, "config.toml")
	// As users have it: without debug messages.
	if err := os.WriteFile(configuration, []byte("[defaults]\ninner_shim = "+strconv.Quote(inner)+"\n"), 0o600); err != nil {
		return nil, err
	}
	events := filepath.Join(dir, "events.sock")
	if s.events, err = serveEvents(events); err != nil {
		return nil, err
	}
	s.env = append(os.Environ(), "KATA_TES_CONFIG="+configuration, "TTRPC_ADDRESS="+events, "GOMAXPROCS=2")
	if err := s.writeBundle(busybox); err != nil {
		return nil, err
	}
	if _, err := s.command(ctx, "start"); err != nil {
		return nil, err
	}
	if err := s.connect(); err != nil {
		return nil, err
	}
	return s, s.create(ctx)
}

// command runs our shim as containerd does.
func (s *sandbox) command(ctx context.Context, action string) (string, error) {
	cmd := exec.CommandContext(ctx, s.shim, "-namespace", "forward", "-address", filepath.Join(s.dir, "containerd.sock"), "-id", s.id, "-bundle", s.bundle, action)
	cmd.Dir, cmd.Env = s.bundle, s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s of %s: %w: %s", action, s.shim, err, out)
	}
	return string(out), nil
}

// connect finds both addresses in what `start` left for `delete`.
func (s *sandbox) connect() error {
	content, err := os.ReadFile(filepath.Join(s.bundle, "kata-tes.json"))
	if err != nil {
		return err
	}
	var addresses struct{ Inner, Outer string }
	if err := json.Unmarshal(content, &addresses); err != nil {
		return err
	}
	if s.direct, err = dial(addresses.Inner); err != nil {
		return err
	}
	s.through, err = dial(addresses.Outer)
	return err
}

func dial(address string) (*ttrpc.Client, error) {
	conn, err := net.Dial("unix", strings.TrimPrefix(address, "unix://"))
	if err != nil {
		return nil, err
	}
	return ttrpc.NewClient(conn), nil
}

// call calls the Task service through us.
func (s *sandbox) call(ctx context.Context, method string, request, response proto.Message) error {
	if err := s.through.Call(ctx, s.service, method, request, response); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

// create creates and starts the container. The service's version is what the
// inner shim has; the messages used here are the same in both.
func (s *sandbox) create(ctx context.Context) error {
	var err error
	for _, s.service = range []string{"containerd.task.v3.Task", "containerd.task.v2.Task"} {
		err = s.call(ctx, "Create", &task2.CreateTaskRequest{ID: s.id, Bundle: s.bundle}, &task2.CreateTaskResponse{})
		if status.Code(errors.Unwrap(err)) != codes.Unimplemented {
			break
		}
	}
	if err != nil {
		return err
	}
	return s.call(ctx, "Start", &task2.StartRequest{ID: s.id}, &task2.StartResponse{})
}

// exec runs a command in the container and waits for it.
func (s *sandbox) exec(ctx context.Context, id string) error {
	process, err := json.Marshal(processOf("/bin/busybox", "true"))
	if err != nil {
		return err
	}
	if err := s.call(ctx, "Exec", &task2.ExecProcessRequest{ID: s.id, ExecID: id, Spec: &anypb.Any{
		TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Process", Value: process,
	}}, &emptypb.Empty{}); err != nil {
		return err
	}
	if err := s.call(ctx, "Start", &task2.StartRequest{ID: s.id, ExecID: id}, &task2.StartResponse{}); err != nil {
		return err
	}
	var exit task2.WaitResponse
	if err := s.call(ctx, "Wait", &task2.WaitRequest{ID: s.id, ExecID: id}, &exit); err != nil {
		return err
	}
	if exit.ExitStatus != 0 {
		return fmt.Errorf("the command ended with status %d", exit.ExitStatus)
	}
	return s.call(ctx, "Delete", &task2.DeleteRequest{ID: s.id, ExecID: id}, &task2.DeleteResponse{})
}

// pss is the proportional set size of our serving process, in bytes.
func (s *sandbox) pss() (int64, error) {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(line, []byte(s.shim+"\x00")) || !bytes.Contains(line, []byte("\x00"+s.id+"\x00")) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(filepath.Dir(path), "smaps_rollup"))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(content)) {
			if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "Pss:" {
				kib, err := strconv.ParseInt(fields[1], 10, 64)
				return kib << 10, err
			}
		}
	}
	return 0, errors.New("no serving process with a Pss in /proc")
}

// remove ends everything: `delete` is made for that.
func (s *sandbox) remove() error {
	ctx := context.Background()
	_, err := s.command(ctx, "delete")
	for _, c := range []*ttrpc.Client{s.direct, s.through} {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	if s.events != nil {
		err = errors.Join(err, s.events.Close())
	}
	if s.log != nil {
		err = errors.Join(err, s.log.Close())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
