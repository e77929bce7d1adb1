// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseDisks(t *testing.T) {
	disks, err := ParseDisks("serial=tes-1,size=64G,bus=scsi;serial=b,size=512M,bus=virtio")
	require.NoError(t, err)
	require.Equal(t, []Disk{
		{Serial: "tes-1", Size: 64 << 30, Bus: "scsi"},
		{Serial: "b", Size: 512 << 20, Bus: "virtio"},
	}, disks)

	none, err := ParseDisks("")
	require.NoError(t, err)
	require.Empty(t, none)

	for _, wrong := range []string{"serial=a", "size=1G", "serial=a,size=x", "serial=a,size=1G,bus=ide", "serial=a,size=-1G", "color=red"} {
		_, err := ParseDisks(wrong)
		require.Error(t, err, wrong)
		require.Contains(t, err.Error(), "expected serial=NAME", wrong)
	}
}

func TestConsoleKnowsALostNode(t *testing.T) {
	for line, lost := range map[string]bool{
		"[   12.3] Kernel panic - not syncing: Fatal exception":          true,
		"[   60.0] rcu: INFO: rcu_preempt self-detected stall on CPU":    true,
		"[   60.0] rcu: INFO: rcu_sched detected stalls on CPUs/tasks:":  true,
		"[   30.0] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!":    true,
		"node-init: FAILED: no payload disk":                             true,
		"--- FAIL: TestSomething (0.1s)":                                 false,
		"[   12.3] kvm [284]: vcpu0, guest rIP: Unhandled WRMSR":         false,
		"a test prints node-init: FAILED in the middle of a line of its": false,
	} {
		c := newConsole(t.TempDir() + "/console.log")
		up := c.await("Server listening on")
		require.NoError(t, c.follow(strings.NewReader("boot\r\n"+line+"\r\nServer listening on 0.0.0.0 port 22.\r\n")))
		<-up
		select {
		case err := <-c.lost:
			require.True(t, lost, line)
			require.ErrorIs(t, err, ErrInfrastructure)
			require.Contains(t, err.Error(), line)
		default:
			require.False(t, lost, line)
		}
		require.Contains(t, c.tail(2), line)
	}
}

func TestBootWithoutPartsSaysWhatToDo(t *testing.T) {
	_, err := Boot(t.Context(), Config{Build: t.TempDir()})
	require.ErrorIs(t, err, ErrNotBuilt)
	require.Contains(t, err.Error(), "build.sh all")
}
