// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	task2 "github.com/containerd/containerd/api/runtime/task/v2"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// standIn is an inner shim that behaves as Kata's do on the command line. How
// it answers, and where it fails, TEST_INNER says.
func standIn(args []string) error {
	c, err := parseArgs(args)
	if err != nil {
		return err
	}
	mode := os.Getenv("TEST_INNER")
	switch {
	case c.info:
		_, err := fmt.Print("info about ")
		if err == nil {
			_, err = io.Copy(os.Stdout, os.Stdin)
		}
		return err
	case c.action == "":
		return standInServe()
	case c.action == "delete":
		if err := note(c); err != nil {
			return err
		}
		if mode == "delete hangs" {
			time.Sleep(time.Hour)
		}
		if mode == "delete fails" {
			return errors.New("cannot delete")
		}
		_, err := fmt.Print("deleted ", c.id)
		return err
	}
	if err := note(c); err != nil {
		return err
	}
	return standInStart(c, mode)
}

// invocation is what containerd, or we, gave to the stand-in.
type invocation struct {
	Args  []string
	Cwd   string
	Env   []string
	Stdin string
}

// note keeps what we were called with.
func note(c call) error {
	stdin, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	cwd, err := os.Getwd()
	if err != nil {
		return err
	}
	text, err := json.Marshal(invocation{Args: c.args, Cwd: cwd, Env: os.Environ(), Stdin: string(stdin)})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(os.Getenv("TEST_NOTES"), c.action+"-"+c.id), text, 0o600)
}

func standInStart(c call, mode string) error {
	group := c.id
	if g, err := os.ReadFile("group"); err == nil {
		group = string(g)
	}
	path := filepath.Join(os.Getenv("TEST_SOCKETS"), fmt.Sprintf("%x", sha256.Sum256([]byte(group))))
	address := "unix://" + path
	if mode == "silent" {
		fmt.Fprint(os.Stderr, "the reason on standard error")
		return nil // as Kata's Rust shim does
	}
	if group == c.id {
		if err := standInLaunch(c, path); err != nil {
			return err
		}
	}
	if err := os.WriteFile("address", []byte(address), 0o600); err != nil {
		return err
	}
	if mode == "half" {
		return errors.New("failed half the way")
	}
	out, err := standInAnswer(mode, address)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(out)
	return err
}

func standInAnswer(mode, address string) ([]byte, error) {
	switch mode {
	case "json":
		return fmt.Appendf(nil, `{"version":3,"address":%q,"protocol":"ttrpc","future":[1,2]}`, address), nil
	case "protobuf":
		return proto.Marshal(&bootapi.BootstrapResult{
			Version: 3, Address: address, Protocol: "ttrpc", Metadata: map[string]string{"k": "v"},
		})
	case "grpc":
		return fmt.Appendf(nil, `{"version":3,"address":%q,"protocol":"grpc"}`, address), nil
	case "dead":
		return []byte(address), endListener(address)
	}
	return []byte(address + "\n"), nil
}

func endListener(address string) error {
	return killListeners(context.Background(), address, 0)
}

// standInLaunch starts the daemon, as Kata's Go shim does.
func standInLaunch(c call, path string) error {
	if err := removeIfThere(path); err != nil {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	if err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0], "-namespace", c.namespace, "-id", c.id)
	cmd.ExtraFiles = []*os.File{f}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return os.WriteFile("shim.pid", []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
}

// standInServe answers the Task API.
func standInServe() error {
	l, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		return err
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	server.RegisterService("containerd.task.v2.Task", &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
		"State": func(_ context.Context, unmarshal func(any) error) (any, error) {
			var q task2.StateRequest
			return &task2.StateResponse{ID: q.ID, Pid: uint32(os.Getpid())}, unmarshal(&q)
		},
		"Create": func(_ context.Context, unmarshal func(any) error) (any, error) {
			var q task2.CreateTaskRequest
			err := unmarshal(&q)
			return &task2.CreateTaskResponse{Pid: uint32(len(strings.TrimSpace(q.ID)))}, err
		},
		"Shutdown": func(context.Context, func(any) error) (any, error) {
			os.Exit(0) // as Kata's Go shim does
			return &emptypb.Empty{}, nil
		},
	}})
	return server.Serve(context.Background(), l)
}
