// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/shim/proxy"
)

// proc is where procfs is.
const proc = "/proc"

// killTimeout bounds the wait for a killed process to be gone. containerd
// gives `delete` five seconds by default.
const killTimeout = 2 * time.Second

var errStillThere = errors.New("the process does not end; if it waits for a disk (state D), restore the disk's connection")

// listeners are the processes that have the listening socket of an address. A
// process id from a file may be another process by now; a socket is what it
// is.
func listeners(address string) ([]int, error) {
	name, _ := proxy.SocketName(address)
	sockets, err := listeningSockets(name)
	if err != nil || len(sockets) == 0 {
		return nil, err
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err == nil && pid != os.Getpid() && holds(pid, sockets) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// listeningSockets are the inode numbers, as /proc/PID/fd has them, of the
// listening sockets with a name (proc(5), /proc/net/unix).
func listeningSockets(name string) (_ map[string]bool, err error) {
	f, err := os.Open(filepath.Join(proc, "net/unix"))
	if err != nil {
		return nil, fmt.Errorf("listing sockets: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return listeningAmong(f, name)
}

// tableLine is a line as the kernel writes it (net/unix/af_unix.c,
// unix_seq_show): pointer, references, protocol, flags, type, state, inode, name.
//
// As exact as that because a name may have line breaks in it, and so may be made
// to look like a line of its own, with the inode of anybody's socket, for us to
// kill its process. A name has 108 bytes at most (unix(7)); such a line takes 52
// before the name that it pretends, and the names of shims' sockets have 64 hex
// digits: it does not fit.
var tableLine = regexp.MustCompile(`^\S{8,}: [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) [0-9A-F]{4} [0-9A-F]{2} ([ 0-9]{4,}[0-9]) (.+)$`)

// acceptsConnections is __SO_ACCEPTCON of the kernel, among the flags.
const acceptsConnections = "00010000"

// listeningAmong reads the kernel's table.
func listeningAmong(table io.Reader, name string) (map[string]bool, error) {
	found := make(map[string]bool)
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		columns := tableLine.FindStringSubmatch(lines.Text())
		if columns != nil && columns[1] == acceptsConnections && columns[3] == name {
			found["socket:["+strings.TrimLeft(columns[2], " ")+"]"] = true
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("listing sockets: %w", err)
	}
	return found, nil
}

// holds says whether a process has one of the sockets open. A process that
// ends meanwhile has none.
func holds(pid int, sockets map[string]bool) bool {
	folder := filepath.Join(proc, strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(folder)
	if err != nil {
		return false
	}
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(folder, entry.Name()))
		if err == nil && sockets[target] {
			return true
		}
	}
	return false
}

// killListeners ends the processes behind an address and waits until they are
// gone. patience is how long each may take to end by itself first.
func killListeners(ctx context.Context, address string, patience time.Duration) error {
	if address == "" {
		return nil
	}
	pids, err := listeners(address)
	if err != nil {
		return fmt.Errorf("looking for the process behind %s: %w", address, err)
	}
	errs := make([]error, 0, len(pids))
	for _, pid := range pids {
		errs = append(errs, end(ctx, pid, patience))
	}
	return errors.Join(errs...)
}

// end waits for a process to end by itself and kills it when it does not.
func end(ctx context.Context, pid int, patience time.Duration) (err error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening process %d: %w", pid, err)
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()

	if patience > 0 {
		if ended, err := awaitEnd(ctx, fd, patience); ended || err != nil {
			return err
		}
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("killing process %d: %w", pid, err)
	}
	ended, err := awaitEnd(ctx, fd, killTimeout)
	if err == nil && !ended {
		err = fmt.Errorf("waiting %s for process %d after killing it: %w", killTimeout, pid, errStillThere)
	}
	return err
}

// awaitEnd waits for the process of a descriptor (pidfd_open(2)).
func awaitEnd(ctx context.Context, fd int, limit time.Duration) (bool, error) {
	until := time.Now().Add(limit)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, max(0, int(time.Until(until).Milliseconds())))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, fmt.Errorf("waiting for a process: %w", err)
		}
		return n > 0, nil
	}
}
