// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package sandbox is what the containers of a pod share in its guest:
// namespaces, memory file systems, kernel parameters, and the files that the
// host copies in because it shares no file system with a confidential guest.
package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Namespaces keeps namespaces that outlive every container, bound to files.
type Namespaces struct {
	// IPC and UTS are their files.
	IPC, UTS string
}

// NewNamespaces makes the pod's, with its hostname.
func NewNamespaces(folder, hostname string) (Namespaces, error) {
	n := Namespaces{IPC: filepath.Join(folder, "ipc"), UTS: filepath.Join(folder, "uts")}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return n, fmt.Errorf("making the sandbox's namespaces: %w", err)
	}
	done := make(chan error)
	go func() {
		// The thread has the new namespaces: never unlocked, it ends with this.
		runtime.LockOSThread()
		done <- n.make(hostname)
	}()
	if err := <-done; err != nil {
		return n, fmt.Errorf("making the sandbox's namespaces: %w", err)
	}
	return n, nil
}

func (n Namespaces) make(hostname string) error {
	if err := unix.Unshare(unix.CLONE_NEWIPC | unix.CLONE_NEWUTS); err != nil {
		return err
	}
	if hostname != "" {
		if err := unix.Sethostname([]byte(hostname)); err != nil {
			return fmt.Errorf("setting the hostname %q: %w", hostname, err)
		}
	}
	for kind, file := range map[string]string{"ipc": n.IPC, "uts": n.UTS} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return err
		}
		source := fmt.Sprintf("/proc/self/task/%d/ns/%s", unix.Gettid(), kind)
		if err := unix.Mount(source, file, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("binding %s: %w", source, err)
		}
	}
	return nil
}
