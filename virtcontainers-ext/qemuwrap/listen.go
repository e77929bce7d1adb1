// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qemuwrap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// listen makes the monitor's socket and returns its descriptor, which is open
// across exec.
//
// We make it, and not QEMU by its path, because QEMU would give it the mode that
// the umask allows, and changing the umask for QEMU would change the modes of
// all its other files.
func listen(path string) (int, error) {
	if err := removeStale(path); err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, fmt.Errorf("creating a socket: %w", err)
	}
	if err := bindPrivate(fd, path); err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// bindPrivate makes the socket appear with mode 0600. The process is about to
// become QEMU and does nothing else meanwhile that the umask could touch.
func bindPrivate(fd int, path string) error {
	before := unix.Umask(0o177)
	err := unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	unix.Umask(before)
	if err != nil {
		return fmt.Errorf("binding the monitor's socket %s: %w", path, err)
	}
	if err := unix.Listen(fd, 1); err != nil {
		return fmt.Errorf("listening on %s: %w", path, err)
	}
	return nil
}

// removeStale removes the socket of an earlier start of the same sandbox, and
// nothing but a socket.
func removeStale(path string) error {
	st, err := os.Lstat(path) //nolint:gosec // the id in the path was checked (rundir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for an old monitor: %w", err)
	}
	if st.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is in the monitor's way and no socket (%s); remove it", path, st.Mode())
	}
	if err := os.Remove(path); err != nil { //nolint:gosec // as above, and it is a socket
		return fmt.Errorf("removing an old monitor: %w", err)
	}
	return nil
}
