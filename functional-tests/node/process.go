// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// process is a QEMU that dies with us, however we end.
type process struct {
	cmd    *exec.Cmd
	output io.ReadCloser
	kill   sync.Once
	// ended is closed when it has been waited for; err is then set.
	ended chan struct{}
	err   error
}

// startQEMU starts QEMU; its standard output is the node's serial console.
func startQEMU(args []string, folder string) (*process, error) {
	stderr, err := os.OpenFile(filepath.Join(folder, "qemu.log"), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keeping QEMU's messages: %w", err)
	}
	defer func() { _ = stderr.Close() }()
	cmd := exec.Command(qemuPath, args...)
	cmd.Stderr = stderr
	// The disk's snapshot is a file there, unlinked at once.
	cmd.Env = append(os.Environ(), "TMPDIR="+folder)
	// A session of its own: Ctrl-C is for us, and we end QEMU.
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting QEMU: %w", err)
	}
	p := &process{cmd: cmd, output: output, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the parent-death signal when the *thread* that
		// started the child ends; this one lives as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			<-p.ended
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", qemuPath, err)
	}
	return p, nil
}

// wait may be called once, after the output has been read to its end.
func (p *process) wait() {
	p.err = p.cmd.Wait()
	close(p.ended)
}

// stop kills QEMU; its disks are throw-away.
func (p *process) stop() {
	p.kill.Do(func() { _ = p.cmd.Process.Kill() })
	<-p.ended
}
