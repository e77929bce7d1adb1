// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp/qmptest"
)

// TestKill kills each victim at each step of Create.
func TestKill(t *testing.T) {
	runTable(t, KillTable, func(tr *trial, c Cell) string { return tr.kill(c.Step, c.Victim) }, func(Cell) limits { return nil })
}

// TestContainerdKilledWithStockKata is the measure for what stays when
// containerd is killed: without us it is the same.
func TestContainerdKilledWithStockKata(t *testing.T) {
	if !all() {
		t.Skip("runs with TES_ALL=1 (make test-all)")
	}
	r := newRig(t)
	tr := &trial{rig: r, t: t}
	tr.pod = r.containerd.StartPod(t, lab.PodSpec{Name: "stock", Handler: lab.Kata})
	tr.guest = tr.pod.MustGuest(t)
	held := tr.holdProgram(ContainerProgram, holdBefore)
	c, err := tr.pod.Create(t.Context(), lab.ContainerSpec{Name: "application"})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- c.Start(t.Context()) }()
	tr.await(held, ended)
	tr.strike(Containerd)
	held.release()
	require.Error(t, <-ended)
	require.NoError(t, r.containerd.Restart(true))
	tr.unknown = append(tr.unknown, c)
	require.NoError(t, c.Remove(t.Context()))
	require.NoError(t, tr.pod.Remove(t.Context()))
	tr.forgetUnknown()
	require.NotEmpty(t, r.others, "stock Kata leaves nothing any more: our cells must not either")
}

// kill is one cell: it gives what the user reads.
func (tr *trial) kill(step Step, victim Victim) string {
	held := tr.hold(step)
	c, ended := tr.start(tr.t.Context())
	tr.await(held, ended)
	tr.strike(victim)
	held.release()
	err := <-ended
	tr.judgeKill(step, victim, err)
	tr.recover(victim, c, err)
	return words(err)
}

// hold makes the step wait when Create comes to it.
func (tr *trial) hold(step Step) hold {
	switch step.By {
	case ByMonitor:
		kind := qmptest.HoldBefore
		if step.After {
			kind = qmptest.HoldAfter
		}
		return tr.holdMonitor(qmptest.NewFault(step.Command, step.Nth, kind))
	case ByProgram:
		script := holdBefore
		if step.After {
			script = holdAfter
		}
		return tr.holdProgram(step.Command, script)
	case ByAgent:
		return tr.holdAgent()
	case ByShim:
		return tr.holdShim()
	default:
		return tr.holdInner()
	}
}

func (tr *trial) holdMonitor(f *qmptest.Fault) hold {
	tr.proxy.Arm(f)
	reached := make(chan error)
	go func() {
		select {
		case <-f.Reached():
			close(reached)
		case <-tr.t.Context().Done():
		}
	}()
	return hold{reached: reached, release: f.Resume}
}

// holdAgent stops the agent extension. The step is there when the machine was
// found, and its address is asked for.
func (tr *trial) holdAgent() hold {
	guest := tr.guest
	guest.Must(tr.t, "killall -STOP kata-tes-agent")
	reached := make(chan error, 1)
	go func() {
		reached <- until(func() bool { return len(tr.proxy.Seen()) > 0 })
	}()
	return hold{reached: reached, release: func() {
		_, _, _ = guest.Run(tr.t.Context(), "killall -CONT kata-tes-agent") // it may be dead
	}}
}

// holdShim stops our shim until the guest has made the store.
func (tr *trial) holdShim() hold {
	ready := func() bool {
		output, _, err := tr.guest.Run(tr.t.Context(), "grep -c ephemeral_image_encrypted_disk /proc/mounts")
		return err == nil && strings.TrimSpace(output) == "2"
	}
	return tr.holdProcess("containerd-shim-kata-tes-v2", func(*lab.Container) bool { return ready() })
}

// holdInner stops the inner shim until ours has rewritten config.json, which it
// does just before it forwards the Create.
func (tr *trial) holdInner() hold {
	return tr.holdProcess("containerd-shim-kata-v2", func(c *lab.Container) bool {
		files, err := filepath.Glob(filepath.Join(tr.containerd.Bundles(), "*", "config.json"))
		if err != nil {
			return false
		}
		asking := 0
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				return false
			}
			if strings.Contains(string(content), lab.TrustedStore) {
				asking++
			}
		}
		return len(files) == 2 && asking == 0
	})
}

// holdProcess stops a shim at the end of mkfs, and lets the guest go on to what
// is to be reached.
func (tr *trial) holdProcess(name string, there func(*lab.Container) bool) hold {
	inGuest := tr.holdProgram("mkfs.ext4", holdAfter)
	shim, err := tr.pod.Shim(name)
	require.NoError(tr.t, err)
	reached := make(chan error, 1)
	go func() {
		err := <-inGuest.reached
		if err == nil {
			err = unix.Kill(shim.PID, unix.SIGSTOP)
		}
		if err == nil {
			inGuest.release()
			err = until(func() bool { return there(nil) })
		}
		reached <- err
	}()
	return hold{reached: reached, release: func() { _ = unix.Kill(shim.PID, unix.SIGCONT) }} // it may be dead
}

func until(holds func() bool) error {
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v", patience)
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

// await waits for the step. A start that ends before shows nothing.
func (tr *trial) await(held hold, ended <-chan error) {
	tr.t.Helper()
	select {
	case err := <-held.reached:
		require.NoError(tr.t, err, "the step is not reached")
	case err := <-ended:
		tr.t.Fatalf("the start ended before the step was reached: %v", err)
	case <-time.After(patience):
		tr.t.Fatal("the step is not reached")
	}
}

// strike kills the victim.
func (tr *trial) strike(victim Victim) {
	tr.t.Helper()
	var process lab.Process
	var err error
	switch victim {
	case Containerd:
		require.NoError(tr.t, tr.containerd.Kill())
		return
	case Agent:
		tr.killAgent()
		return
	case Shim:
		process, err = tr.pod.Shim("containerd-shim-kata-tes-v2")
	case Inner:
		process, err = tr.pod.Shim("containerd-shim-kata-v2")
	case QEMU:
		process, err = tr.pod.QEMU()
	}
	require.NoError(tr.t, err)
	require.NoError(tr.t, unix.Kill(process.PID, unix.SIGKILL))
	if victim == QEMU {
		tr.proxy.QEMUEnded()
	}
}

// expectation is what the user reads, and the gRPC codes that it may come with.
type expectation struct {
	words string
	codes []codes.Code
}

// expected is that of each victim that was killed.
var expected = map[Victim]expectation{
	// It is containerd itself that does not answer.
	Containerd: {`error reading from server: EOF|connection error`, []codes.Code{codes.Unavailable}},
	// Nobody is left who could say more than containerd itself.
	Shim:  {`ttrpc: closed`, []codes.Code{codes.Unknown}},
	Inner: {`Kata's shim has ended|the inner shim did not answer`, []codes.Code{codes.Unavailable}},
	// Who notices first: our shim by the monitor or the guest, or Kata's shim,
	// which ends.
	QEMU:  {`QEMU|monitor|kata-tes-agent|Kata's shim has ended|the inner shim did not answer`, []codes.Code{codes.Internal, codes.Unavailable, codes.FailedPrecondition}},
	Agent: {`kata-tes-agent`, []codes.Code{codes.Unavailable, codes.Internal, codes.FailedPrecondition}},
}

// handedOn is what the user reads of a QEMU that is killed when Kata has the
// Create: Kata's words, whatever it is about to do.
var handedOn = expectation{`ttrpc: closed|CopyFile|DeadlineExceeded|Kata's shim has ended|the inner shim did not answer`, []codes.Code{codes.Unknown, codes.Unavailable}}

func (tr *trial) judgeKill(step Step, victim Victim, err error) {
	tr.t.Helper()
	tr.t.Logf("the start ended with: %v", err)
	want := expected[victim]
	if step.By == ByShim || step.By == ByInner || step.Command == ContainerProgram {
		switch victim {
		case Agent:
			// Once the store is made, nobody needs the agent extension.
			require.NoError(tr.t, err)
			return
		case QEMU:
			want = handedOn
		}
	}
	require.Error(tr.t, err)
	require.Regexp(tr.t, want.words, err.Error())
	require.Contains(tr.t, want.codes, status.Code(err))
}
