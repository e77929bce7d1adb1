// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package runc_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// terminal is ctr on a pseudo-terminal, as a person has it.
type terminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	ended  chan error

	mutex sync.Mutex
	seen  strings.Builder
}

func (r *rig) terminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	master, slave := openTerminal(t)
	require.NoError(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 99}))
	cmd := exec.Command(r.ctr, append([]string{"--address", r.containerd.Socket(), "--namespace", namespace}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	require.NoError(t, slave.Close())
	term := &terminal{t: t, cmd: cmd, master: master, ended: make(chan error, 1)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			term.mutex.Lock()
			term.seen.Write(buffer[:n])
			term.mutex.Unlock()
			if err != nil {
				return // EIO: the other side is closed
			}
		}
	}()
	go func() { term.ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = master.Close()
		<-read
	})
	return term
}

func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return master, slave
}

func (term *terminal) text() string {
	term.mutex.Lock()
	defer term.mutex.Unlock()
	return term.seen.String()
}

func (term *terminal) typed(line string) {
	term.t.Helper()
	_, err := term.master.WriteString(line + "\n")
	require.NoError(term.t, err)
}

func (term *terminal) shows(text string) {
	term.t.Helper()
	until := time.Now().Add(limit)
	for !strings.Contains(term.text(), text) {
		if time.Now().After(until) {
			term.t.Fatalf("the terminal does not show %q:\n%s", text, term.text())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// status waits for the end.
func (term *terminal) status() int {
	term.t.Helper()
	select {
	case err := <-term.ended:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			term.t.Fatal(err)
		}
		return term.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		term.t.Fatalf("ctr does not end:\n%s", term.text())
		return 0
	}
}
