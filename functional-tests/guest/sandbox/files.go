// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// SharedFolder is where the host's files go: Kata's runtime bind-mounts them
// into containers from there.
const SharedFolder = "/run/kata-containers/shared/containers"

// CopyFile writes one file of the host, or a part of it. The host names the
// path, so the folder is a root that nothing leads out of.
func CopyFile(folder string, request *agent.CopyFileRequest) (err error) {
	path, err := filepath.Rel(folder, request.Path)
	if err != nil || !filepath.IsLocal(path) {
		return fmt.Errorf("copying a file: %s is not below %s", request.Path, folder)
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return fmt.Errorf("copying a file: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("copying a file: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("copying %s: %w", request.Path, err)
	}
	write := writePart
	switch request.FileMode & unix.S_IFMT {
	case unix.S_IFDIR:
		write = makeFolder
	case unix.S_IFLNK:
		write = makeLink
	}
	if err := write(root, path, request); err != nil {
		return fmt.Errorf("copying %s: %w", request.Path, err)
	}
	return nil
}

func makeFolder(root *os.Root, path string, request *agent.CopyFileRequest) error {
	if err := root.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return own(root, path, request)
}

// makeLink replaces what was there: Kubernetes changes a volume of files by
// turning a link.
func makeLink(root *os.Root, path string, request *agent.CopyFileRequest) error {
	if err := root.RemoveAll(path); err != nil {
		return err
	}
	if err := root.Symlink(string(request.Data), path); err != nil {
		return err
	}
	return root.Lchown(path, int(request.Uid), int(request.Gid))
}

// writePart collects a file's parts beside it and renames when it is whole.
func writePart(root *os.Root, path string, request *agent.CopyFileRequest) (err error) {
	temporary := path + ".tmp"
	flags := os.O_WRONLY | os.O_CREATE
	if request.Offset == 0 {
		flags |= os.O_TRUNC
	}
	file, err := root.OpenFile(temporary, flags, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if closed := file.Close(); closed != nil && !errors.Is(closed, fs.ErrClosed) {
			err = errors.Join(err, closed)
		}
	}()
	if _, err := file.WriteAt(request.Data, request.Offset); err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil || info.Size() != request.FileSize {
		return err
	}
	if err := own(root, temporary, request); err != nil {
		return err
	}
	// A bind mount holds the old file: one that exists is written in place
	// by nobody, so a change reaches a container only through a link.
	return root.Rename(temporary, path)
}

func own(root *os.Root, path string, request *agent.CopyFileRequest) error {
	if err := root.Chown(path, int(request.Uid), int(request.Gid)); err != nil {
		return err
	}
	return root.Chmod(path, os.FileMode(request.FileMode&0o777))
}

// Sysctl sets parameters of the guest's own network, which is the pod's.
func Sysctl(parameters map[string]string) error {
	for key, value := range parameters {
		path := filepath.Join("/proc/sys", filepath.Clean("/"+strings.ReplaceAll(key, ".", "/")))
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("setting the kernel parameter %s: %w", key, err)
		}
	}
	return nil
}

func isMountPoint(path string) (bool, error) {
	mounted, err := mountinfo.Mounted(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return mounted, err
}
