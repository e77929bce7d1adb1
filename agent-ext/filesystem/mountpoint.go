// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package filesystem

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrMountPoint says that a mount point cannot be used.
var ErrMountPoint = errors.New("the mount point is not an empty directory of its own")

// CheckMountPoint says whether a file system can be mounted there, and makes the
// directory where it is missing. It is an early word only: Mount and Bind look
// again.
func CheckMountPoint(at string) error {
	dir, err := openMountPoint(at)
	if err != nil {
		return err
	}
	return dir.Close()
}

// openMountPoint makes the directory where it is missing and gives it checked.
// Mounting goes by the descriptor, so that nobody can exchange the path after
// the check.
func openMountPoint(path string) (_ *os.File, err error) {
	dir, err := makeDirectory(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, dir.Close())
		}
	}()
	mounted, err := isMountRoot(dir)
	if err != nil {
		return nil, err
	}
	if mounted {
		return nil, fmt.Errorf("%w: something is mounted at %s", ErrMountPoint, path)
	}
	switch names, err := dir.Readdirnames(1); {
	case errors.Is(err, io.EOF):
		return dir, nil
	case err != nil:
		return nil, fmt.Errorf("%w: reading %s: %w", ErrMountPoint, path, err)
	default:
		return nil, fmt.Errorf("%w: %s contains %q", ErrMountPoint, path, names[0])
	}
}

// makeDirectory opens the directory and makes what is missing on the way.
func makeDirectory(path string) (*os.File, error) {
	dir, err := openDirectory(path)
	if !errors.Is(err, os.ErrNotExist) || path == filepath.Dir(path) {
		return dir, err
	}
	parent, err := makeDirectory(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	err = unix.Mkdirat(int(parent.Fd()), filepath.Base(path), 0o755)
	if errors.Is(err, unix.EEXIST) {
		err = nil // somebody else made it: the check that follows decides
	}
	if err = errors.Join(err, parent.Close()); err != nil {
		return nil, fmt.Errorf("%w: making %s: %w", ErrMountPoint, path, err)
	}
	return openDirectory(path)
}

// openDirectory opens a directory without following any symbolic link
// (openat2(2)).
func openDirectory(path string) (*os.File, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, filepath.Clean(path), &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: opening %s: %w", ErrMountPoint, path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// isMountRoot says whether the directory is the root of a mount (statx(2)).
func isMountRoot(dir *os.File) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &st); err != nil {
		return false, fmt.Errorf("looking at %s: %w", dir.Name(), err)
	}
	if st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return false, errors.New("the kernel does not tell mount points (Linux 5.8 or newer is needed)")
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}

// procPath is a path that means the open file itself.
func procPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
