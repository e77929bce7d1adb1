// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func processOf(args ...string) specs.Process {
	return specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}}
}

// writeBundle makes what containerd makes for a container: config.json, a root
// file system, and the FIFO for logs, whose other end must be open.
func (s *sandbox) writeBundle(busybox string) error {
	program, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	rootfs := filepath.Join(s.bundle, "rootfs")
	config, err := json.Marshal(specs.Spec{
		Version: specs.Version,
		Process: new(processOf("/bin/busybox", "sleep", "100000")),
		Root:    &specs.Root{Path: "rootfs"},
		Mounts:  []specs.Mount{{Destination: "/proc", Type: "proc", Source: "proc"}},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
		}},
	})
	if err != nil {
		return err
	}
	if err := errors.Join(
		os.MkdirAll(filepath.Join(rootfs, "bin"), 0o755),
		os.MkdirAll(filepath.Join(rootfs, "proc"), 0o755),
		os.WriteFile(filepath.Join(rootfs, "bin/busybox"), program, 0o755),
		os.WriteFile(filepath.Join(s.bundle, "config.json"), config, 0o600),
		unix.Mkfifo(filepath.Join(s.bundle, "log"), 0o600),
	); err != nil {
		return err
	}
	s.log, err = os.OpenFile(filepath.Join(s.bundle, "log"), os.O_RDWR, 0)
	return err
}
