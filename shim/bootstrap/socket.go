// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/shim/proxy"
)

// socketFolder is where shims have their sockets by default.
const socketFolder = "/run/containerd/s"

// probeTimeout bounds the question whether somebody listens.
const probeTimeout = 2 * time.Second

// outerAddress is where our serving process for an inner shim listens: beside
// its socket, under a name of the same length. The prefix makes it differ from
// every name that containerd's own library derives.
func outerAddress(inner string) string {
	folder := socketFolder
	if name, abstract := proxy.SocketName(inner); !abstract {
		folder = filepath.Dir(name)
	}
	return fmt.Sprintf("unix://%s/%x", folder, sha256.Sum256([]byte("kata-tes:"+inner)))
}

// listens says whether a process accepts connections at an address.
func listens(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := proxy.Dial(ctx, address)
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was written
	return true
}

// socketFile is the file of a socket. Another socket at the same path is
// another file: a sandbox that is created again under its old name has the
// same addresses. The time is for file systems that use an inode number again.
type socketFile struct {
	Path   string `json:"path"`
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	// Modified is in nanoseconds; nothing modifies a socket's file.
	Modified int64 `json:"modified"`
}

// socketFileOf is nil for an abstract socket and for one that is gone.
func socketFileOf(address string) (*socketFile, error) {
	path, abstract := proxy.SocketName(address)
	if abstract {
		return nil, nil //nolint:nilnil // no file and no mistake
	}
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no file and no mistake
	}
	if err != nil {
		return nil, fmt.Errorf("looking at the socket %s: %w", path, err)
	}
	return newSocketFile(path, st), nil
}

func newSocketFile(path string, st unix.Stat_t) *socketFile {
	return &socketFile{Path: path, Device: st.Dev, Inode: st.Ino, Modified: st.Mtim.Nano()}
}

// remove removes the file if it is still the same one.
func (f *socketFile) remove() error {
	if f == nil {
		return nil
	}
	var st unix.Stat_t
	err := unix.Lstat(f.Path, &st)
	if err == nil && *newSocketFile(f.Path, st) != *f {
		return nil
	}
	if err == nil {
		err = os.Remove(f.Path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the socket %s: %w", f.Path, err)
	}
	return nil
}

// listen takes an address of ours. Its file is only for root, as those of
// other shims are.
func listen(address string) (*net.UnixListener, error) {
	path, _ := proxy.SocketName(address)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("creating the folder of the socket: %w", err)
	}
	// By the mask and not by chmod: there is no moment with other rights.
	// Nothing else creates files in this process meanwhile.
	old := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listening at %s: %w", address, err)
	}
	// The file belongs to the sandbox, not to this descriptor.
	l.SetUnlinkOnClose(false)
	return l, nil
}
