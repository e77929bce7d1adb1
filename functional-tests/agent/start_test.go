// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A guest that can't keep a secret, or lacks what a store needs, is told of when
// the agent starts.
func TestRefusesToStart(t *testing.T) {
	t.Run("swap is on", func(t *testing.T) {
		_, swap := newAttachedDisk(t, "tes-ffffffffffffffff", 64<<20)
		run(t, "mkswap", swap)
		run(t, "swapon", swap)
		requireRefusesToStart(t, "swap is on")
		run(t, "swapoff", swap)
	})
	t.Run("headers on a disk", func(t *testing.T) {
		const dir = "/var/lib/kata-tes-test"
		requireRefusesToStart(t, "is not in memory", func(c *config.Config) { c.HeaderDirectory = dir })
		require.NoError(t, os.Remove(dir))
	})
	t.Run("no mkfs.xfs", func(t *testing.T) {
		gone := func(c *config.Config) { c.Tools.MkfsXFS = "/nonexistent/mkfs.xfs" }
		requireRefusesToStart(t, "tools.mkfs_xfs: /nonexistent/mkfs.xfs cannot be run", withProfile(profile.Integrity), gone)
		newProcess(t, gone) // nobody needs it
	})
}

// No core dump of the agent, whatever limit its process has.
func TestNoCoreDump(t *testing.T) {
	const pattern = "/proc/sys/kernel/core_pattern"
	before, err := os.ReadFile(pattern)
	require.NoError(t, err)
	cores := t.TempDir()
	put(t, pattern, filepath.Join(cores, "core.%e"))
	t.Cleanup(func() { put(t, pattern, strings.TrimSpace(string(before))) })

	p := newProcess(t)
	limits, err := os.ReadFile(filepath.Join("/proc", pid(p), "limits"))
	require.NoError(t, err)
	require.Regexp(t, `(?m)^Max core file size +0 +0 `, string(limits))
	unlimited := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	require.NoError(t, unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_CORE, &unlimited, nil))
	require.NoError(t, p.cmd.Process.Signal(unix.SIGSEGV))
	require.Error(t, p.cmd.Wait())
	require.Empty(t, files(t, cores), "a core dump of the agent")
	require.NoError(t, os.Remove(p.socket()))
	p.begin()

	// Others do leave one here, or the above proves nothing.
	run(t, "sh", "-c", "ulimit -c unlimited; sh -c 'kill -SEGV $$' || true")
	require.NotEmpty(t, files(t, cores))
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(dir + "/*")
	require.NoError(t, err)
	return found
}

// The agent is killed while cryptsetup is at work. The next process knows what
// was left, and Release undoes it.
func TestKilledHalfWay(t *testing.T) {
	for _, c := range []struct{ name, script string }{
		{"in luksFormat", `[ $1 != luksFormat ] || { dmsetup create temporary-cryptsetup-$$ --table "0 8 integrity DEVICE 32768 32 D 1 block_size:4096"; touch STARTED; sleep 600; }`},
		{"with the lower mapping made", `[ $1 != luksOpen ] || { $REAL "$@"; dmsetup remove ephemeral_image_encrypted_disk; touch STARTED; sleep 600; }`},
		{"with both made", `[ $1 != luksOpen ] || { $REAL "$@"; touch STARTED; sleep 600; }`},
	} {
		t.Run(c.name, func(t *testing.T) {
			marker := agentproto.NewMarker()
			_, device := newAttachedDisk(t, marker, gib)
			started := filepath.Join(t.TempDir(), "started")
			path, trigger := once(t, cryptsetup, strings.NewReplacer("DEVICE", device, "STARTED", started, "sleep 600", "exec sleep 600").Replace(c.script))
			p := newProcess(t, withProfile(profile.Integrity), withCryptsetup(path))
			failed := make(chan error, 1)
			go func() {
				_, err := p.prepare(marker)
				failed <- err
			}()
			require.Eventually(t, func() bool {
				_, err := os.Stat(started)
				return err == nil
			}, patience, 20*time.Millisecond)
			child := strings.TrimSpace(run(t, "pgrep", "-P", pid(p)))
			p.kill()
			require.Error(t, <-failed)
			run(t, "kill", "-9", child)
			require.Equal(t, agentv1.State_STATE_FAILED, p.state())
			require.NoError(t, os.Remove(trigger))
			require.NoError(t, p.release(marker))
			p.requireNothingLeft()
			require.NotContains(t, run(t, "dmsetup", "ls"), "temporary-cryptsetup")
			p.requireWorks(marker)
		})
	}
}
