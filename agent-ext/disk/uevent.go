// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// kernelGroup is the netlink multicast group of the kernel's own uevents (udevd
// sends its own on another).
const kernelGroup = 1

// Uevents listens to the kernel's uevents of block devices.
type Uevents struct {
	socket *os.File
	c      chan struct{}
	done   chan struct{}
}

// ListenUevents opens the netlink socket (netlink(7), NETLINK_KOBJECT_UEVENT).
func ListenUevents() (Events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("opening the uevent socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernelGroup}); err != nil {
		return nil, errors.Join(fmt.Errorf("listening to uevents: %w", err), unix.Close(fd))
	}
	u := &Uevents{
		// Non-blocking, so that os.File uses the poller and Close wakes a Read.
		socket: os.NewFile(uintptr(fd), "uevents"),
		c:      make(chan struct{}, 1),
		done:   make(chan struct{}),
	}
	go u.read()
	return u, nil
}

// C implements Events.
func (u *Uevents) C() <-chan struct{} { return u.c }

// Close ends the listening.
func (u *Uevents) Close() error {
	err := u.socket.Close()
	<-u.done
	return err
}

func (u *Uevents) read() {
	defer close(u.done)
	buffer := make([]byte, 8<<10)
	for {
		n, err := u.socket.Read(buffer)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		// An overrun (ENOBUFS) means that events were lost: time for a look.
		if err != nil || isBlockEvent(buffer[:n]) {
			select {
			case u.c <- struct{}{}:
			default:
			}
		}
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			// No more events; Find's ticker still looks.
			return
		}
	}
}

// isBlockEvent: a uevent is "ACTION@DEVPATH" and KEY=VALUE pairs, each ended by
// NUL (kernel, lib/kobject_uevent.c).
func isBlockEvent(message []byte) bool {
	for _, field := range bytes.Split(message, []byte{0}) {
		if bytes.Equal(field, []byte("SUBSYSTEM=block")) {
			return true
		}
	}
	return false
}
