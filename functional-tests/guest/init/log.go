// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// guestLog goes to the guest's console, where the node keeps it for a failed
// test, and to /run/log/guest.log, where a test can read it.
type guestLog struct {
	mu  sync.Mutex
	out []io.Writer
}

// openLog takes Kata's console where it is there, else the kernel's log.
func openLog() *guestLog {
	log := &guestLog{}
	for _, path := range []string{"/dev/hvc0", "/dev/console", "/dev/kmsg"} {
		if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
			log.out = append(log.out, f)
			break
		}
	}
	f, err := os.OpenFile("/run/log/guest.log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err == nil {
		log.out = append(log.out, f)
	}
	log.failed(err)
	return log
}

// print writes one line, with the uptime in front. What can't be written has
// nowhere else to go.
func (l *guestLog) print(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	uptime, _ := os.ReadFile("/proc/uptime")
	seconds, _, _ := strings.Cut(string(uptime), " ")
	for _, out := range l.out {
		fmt.Fprintf(out, "[%s] %s\r\n", seconds, line)
	}
}

func (l *guestLog) failed(err error) {
	if err != nil {
		l.print("init: " + err.Error())
	}
}

// copy prints what comes out of a child, line by line.
func (l *guestLog) copy(name string, from io.ReadCloser) {
	defer func() { _ = from.Close() }()
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			l.print(name + ": " + strings.TrimRight(line, "\r\n"))
		}
		if err != nil {
			return
		}
	}
}
