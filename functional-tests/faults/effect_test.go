// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package faults

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/functional-tests/lab"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp/qmptest"
)

// TestEffect lets each effect of Create fail, come too late, or be done without
// anybody hearing of it.
func TestEffect(t *testing.T) {
	runTable(t, EffectTable, (*trial).disturb, func(c Cell) limits {
		if c.Kind == Delay {
			return short
		}
		return nil
	})
}

// disturbance is what a cell does.
type disturbance struct {
	// during runs while the container starts; nil where there is nothing to do.
	during func(c *lab.Container, ended <-chan error)
	// repair takes the fault away, once the start has failed.
	repair func()
	// met says that the fault has happened.
	met func() bool
	// words are in the error; empty: the start succeeds in spite of it.
	words string
	// leftover: the fault goes on until repair, so that nothing can be undone.
	leftover bool
	// impatient: the caller gives up, not a limit of ours.
	impatient bool
}

// disturb is one cell: it gives what the user reads.
func (tr *trial) disturb(c Cell) string {
	d := tr.arrange(c)
	ctx, giveUp := context.WithCancel(tr.t.Context())
	defer giveUp()
	container, ended := tr.start(ctx)
	if d.during != nil {
		d.during(container, ended)
	}
	if d.impatient {
		giveUp()
	}
	err := <-ended
	tr.t.Logf("the start ended with: %v", err)
	if d.met != nil {
		require.True(tr.t, d.met(), "the fault has not happened")
	}
	if d.words == "" {
		require.NoError(tr.t, err)
	} else {
		require.Error(tr.t, err)
		require.Regexp(tr.t, d.words, err.Error())
	}
	if err != nil && !d.leftover {
		tr.checkUndone(c)
	}
	if d.repair != nil {
		d.repair()
	}
	tr.retry(container, err, false)
	return words(err)
}

// checkUndone: where an attempt could be undone, it was before its error came.
// What follows the store's preparation leaves the store, which is the sandbox's.
func (tr *trial) checkUndone(c Cell) {
	tr.t.Helper()
	if c.Effect == Rewrite || c.Effect == ContainerProgram {
		tr.checkStore()
		return
	}
	require.Empty(tr.t, tr.disks())
	free, err := tr.volume.ExclusivelyFree()
	require.NoError(tr.t, err)
	require.True(tr.t, free, "the volume is claimed")
	if c.Effect != Dial { // the extension does not answer, and was not asked
		tr.checkNothing()
	}
}

const deadline = `did not end within|DeadlineExceeded|deadline`

func (tr *trial) arrange(c Cell) disturbance {
	switch {
	case c.Effect == Dial:
		return tr.disturbDial(c.Kind)
	case c.Effect == Mount && c.Kind == Lose:
		return tr.killedMounted()
	case c.Effect == Mount:
		return tr.disturbMount(c.Kind)
	case c.Effect == Prepare && c.Kind == Lose:
		return tr.lostAnswer()
	case c.Effect == Prepare:
		return tr.lateAnswer()
	case c.Effect == Rewrite:
		return tr.noDescriptors()
	case c.Effect == ContainerProgram && c.Kind == Delay:
		return tr.lateContainer()
	case c.Effect == ContainerProgram || slices.Contains(Programs(), c.Effect):
		return tr.disturbProgram(c.Effect, c.Kind)
	}
	return tr.disturbMonitor(c.Effect, c.Kind)
}

func (tr *trial) disturbMonitor(command string, kind Kind) disturbance {
	nth := 0
	for _, known := range Commands() {
		if known.Name == command {
			nth = known.Nth
		}
	}
	f := qmptest.NewFault(command, nth, map[Kind]qmptest.Kind{Fail: qmptest.Refuse, Delay: qmptest.Late, Lose: qmptest.HangUp}[kind])
	tr.proxy.Arm(f)
	d := disturbance{met: f.Happened}
	switch {
	case kind == Fail && command == "blockdev-add":
		// Threads stand in for Linux AIO.
	case kind == Fail:
		d.words = command + `.*` + qmptest.Refusal
	case kind == Delay:
		d.words = deadline
	default:
		d.words = `hotplugging .*` + command
	}
	return d
}

func (tr *trial) disturbProgram(program string, kind Kind) disturbance {
	script := map[Kind]string{Fail: failing, Delay: endless, Lose: losing}[kind]
	tr.wrap(program, script)
	guest, ctx := tr.guest, tr.t.Context()
	met := func() bool {
		_, status, err := guest.Run(ctx, "test ! -e /run/fault/armed")
		return err == nil && status == 0
	}
	if kind == Delay {
		return disturbance{met: met, words: deadline}
	}
	if program == ContainerProgram {
		return disturbance{met: met, words: `(?i)exit status 1|runc`}
	}
	return disturbance{met: met, words: "a fault of this test"}
}

func (tr *trial) disturbDial(kind Kind) disturbance {
	switch kind {
	case Fail:
		tr.killAgent()
		return disturbance{words: "no kata-tes-agent, or it does not run", repair: tr.restartAgent}
	case Delay:
		held := tr.holdAgent()
		return disturbance{words: deadline, repair: held.release}
	}
	held := tr.holdAgent()
	return disturbance{
		during: func(_ *lab.Container, ended <-chan error) {
			tr.await(held, ended)
			tr.killAgent()
		},
		words: "kata-tes-agent", repair: tr.restartAgent,
	}
}

// disturbMount has something in the mount point, or a device that does not
// answer, when the file system has been made.
func (tr *trial) disturbMount(kind Kind) disturbance {
	inGuest := tr.holdProgram("mkfs.ext4", holdAfter)
	do, undo, expect := "mkdir -p /run/kata-containers/image && touch /run/kata-containers/image/theirs", "rm /run/kata-containers/image/theirs", `not empty|occupied|is not an empty`
	if kind == Delay {
		do, undo, expect = "dmsetup suspend --noflush ephemeral_image_encrypted_disk", "dmsetup resume ephemeral_image_encrypted_disk", deadline
	}
	return disturbance{
		during: func(_ *lab.Container, ended <-chan error) {
			tr.await(inGuest, ended)
			tr.guest.Must(tr.t, do)
			inGuest.release()
		},
		words: expect, leftover: kind == Delay,
		repair: func() { tr.guest.Must(tr.t, undo) },
	}
}

// lateAnswer stops the agent extension with everything but the mount done, until
// the shim has given up.
func (tr *trial) lateAnswer() disturbance {
	inGuest := tr.holdProgram("mkfs.ext4", holdAfter)
	return disturbance{
		during: func(_ *lab.Container, ended <-chan error) {
			tr.await(inGuest, ended)
			tr.guest.Must(tr.t, "killall -STOP kata-tes-agent")
			inGuest.release()
		},
		words: deadline, leftover: true,
		repair: func() { tr.guest.Must(tr.t, "killall -CONT kata-tes-agent") },
	}
}

// lostAnswer: the store is ready, and our shim does not hear of it.
func (tr *trial) lostAnswer() disturbance {
	stolen := tr.stealAnswer()
	return disturbance{
		during: func(_ *lab.Container, ended <-chan error) {
			tr.await(stolen, ended)
			tr.checkStore()
			stolen.release()
		},
		words: "preparing the store.*closed",
	}
}

// killedMounted: the store is mounted, and the guest's agent extension dies
// before anybody hears of it. The next one finds what it left.
func (tr *trial) killedMounted() disturbance {
	stolen := tr.stealAnswer()
	return disturbance{
		during: func(_ *lab.Container, ended <-chan error) {
			tr.await(stolen, ended)
			tr.checkStore()
			tr.killAgent()
			stolen.release()
		},
		words: "kata-tes-agent", leftover: true, repair: tr.restartAgent,
	}
}

// noDescriptors keeps our shim from opening any file when it comes to
// config.json.
func (tr *trial) noDescriptors() disturbance {
	inGuest := tr.holdProgram("mkfs.ext4", holdAfter)
	shim, err := tr.pod.Shim("containerd-shim-kata-tes-v2")
	require.NoError(tr.t, err)
	var before unix.Rlimit
	return disturbance{
		during: func(_ *lab.Container, ended <-chan error) {
			tr.await(inGuest, ended)
			require.NoError(tr.t, unix.Prlimit(shim.PID, unix.RLIMIT_NOFILE, nil, &before))
			require.NoError(tr.t, unix.Prlimit(shim.PID, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: before.Max}, nil))
			inGuest.release()
		},
		words:  "too many open files",
		repair: func() { require.NoError(tr.t, unix.Prlimit(shim.PID, unix.RLIMIT_NOFILE, &before, nil)) },
	}
}

// lateContainer: kata-agent does not come to the container's end before the
// caller gives up. No limit of ours bounds what is Kata's.
func (tr *trial) lateContainer() disturbance {
	inGuest := tr.holdProgram(ContainerProgram, holdBefore)
	return disturbance{
		during: func(_ *lab.Container, ended <-chan error) { tr.await(inGuest, ended) },
		words:  `(?i)cancell?ed`, impatient: true, leftover: true,
		repair: inGuest.release,
	}
}
