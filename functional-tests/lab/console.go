// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// kataMachines has a folder for each of Kata's virtual machines, with the
// socket of its console in it.
const kataMachines = "/run/vc/vm"

// KeepConsoles writes the console of every guest that starts during the test
// to a file in Logs. Nobody else listens on Kata's console sockets.
func KeepConsoles(t testing.TB) {
	t.Helper()
	NeedNode(t)
	if err := os.MkdirAll(kataMachines, 0o755); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatalf("watching for guests: %v", err)
	}
	if _, err := unix.InotifyAddWatch(fd, kataMachines, unix.IN_CREATE); err != nil {
		t.Fatalf("watching for guests: %v", err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := followMachines(events); err != nil {
			// The test may go on without; its failure would lack a console.
			fmt.Fprintln(os.Stderr, "lab: keeping consoles:", err)
		}
	}()
	t.Cleanup(func() {
		_ = events.Close()
		<-done
	})
}

func followMachines(events io.Reader) error {
	buffer := make([]byte, 64<<10)
	for {
		n, err := events.Read(buffer)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range created(buffer[:n]) {
			go keepConsole(name)
		}
	}
}

// created takes the names out of inotify's events (inotify(7)): a header, then
// a name that is filled up with zeros.
func created(events []byte) []string {
	var names []string
	for len(events) >= unix.SizeofInotifyEvent {
		length := int(binary.NativeEndian.Uint32(events[12:16]))
		name := events[unix.SizeofInotifyEvent : unix.SizeofInotifyEvent+length]
		names = append(names, string(bytes.TrimRight(name, "\x00")))
		events = events[unix.SizeofInotifyEvent+length:]
	}
	return names
}

// keepConsole copies one guest's console until the guest ends.
func keepConsole(sandbox string) {
	conn, err := dialConsole(filepath.Join(kataMachines, sandbox, "console.sock"))
	if err != nil {
		fmt.Fprintf(os.Stderr, "lab: no console of sandbox %s: %v\n", sandbox, err)
		return
	}
	defer func() { _ = conn.Close() }()
	file, err := os.OpenFile(filepath.Join(Logs, "guest-"+sandbox+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab: keeping a console:", err)
		return
	}
	defer func() { _ = file.Close() }()
	_, _ = io.Copy(file, conn)
}

// dialConsole tries until QEMU listens: there is no event for that.
func dialConsole(path string) (net.Conn, error) {
	const limit, pause = 30 * time.Second, 20 * time.Millisecond
	deadline := time.Now().Add(limit)
	for {
		conn, err := net.Dial("unix", path)
		if err == nil {
			return conn, nil
		}
		if _, gone := os.Stat(filepath.Dir(path)); gone != nil || time.Now().After(deadline) {
			return nil, err
		}
		time.Sleep(pause)
	}
}
