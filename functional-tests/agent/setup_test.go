// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/stretchr/testify/require"
)

// setupRounds of both profiles and sizes; the median counts.
func setupRounds() int {
	if everything() {
		return 5
	}
	return 3
}

// A store of 1 TiB is made in about the time of one of 1 GiB, in both profiles.
// The figures are in docs/profiles.md; the test allows twice the time, since
// other work on this machine is in the figures, too.
func TestSetupDoesNotGrow(t *testing.T) {
	const small, large = "1 GiB", "1 TiB"
	times := map[string]map[string][]time.Duration{}
	memory := map[string]map[string][]int{}
	sizes := map[string]int64{small: gib, large: 1024 * gib}
	for _, p := range profile.All() {
		times[p.Name], memory[p.Name] = map[string][]time.Duration{}, map[string][]int{}
		// In turns, so that what else goes on here meets both.
		for range setupRounds() {
			for _, size := range []string{small, large} {
				took, kib := setUp(t, p, sizes[size])
				times[p.Name][size] = append(times[p.Name][size], took)
				memory[p.Name][size] = append(memory[p.Name][size], kib)
			}
		}
	}
	for _, p := range profile.All() {
		// Of each pair, since the two were measured one after the other.
		var ratios []float64
		for round, took := range times[p.Name][large] {
			ratios = append(ratios, took.Seconds()/times[p.Name][small][round].Seconds())
		}
		ratio := median(ratios)
		t.Logf("summary: %s: %s %s s, %s %s s, median of the ratios %.2f; kernel memory %d and %d MiB", p.Name,
			small, seconds(times[p.Name][small]), large, seconds(times[p.Name][large]), ratio,
			median(memory[p.Name][small])>>10, median(memory[p.Name][large])>>10)
		require.Less(t, ratio, 2.0, p.Name)
	}
}

// setUp prepares a store on a new disk and gives the time that it took, and the
// memory that the guest has less while it is there, in KiB: caches are dropped,
// and what the disk's own file takes (the host's memory) is not counted.
func setUp(t *testing.T, p profile.Profile, size int64) (time.Duration, int) {
	t.Helper()
	marker := agentproto.NewMarker()
	disk, _ := newAttachedDisk(t, marker, size)
	g := newGuest(t, withProfile(p))
	before := available(t) + disk.allocated()
	began := time.Now()
	answer, err := g.prepare(marker)
	took := time.Since(began)
	require.NoError(t, err)
	var steps []string
	for _, s := range answer.GetSteps() {
		steps = append(steps, fmt.Sprintf("%s %d", s.GetName(), s.GetTook().AsDuration().Milliseconds()))
	}
	taken := before - available(t) - disk.allocated()
	t.Logf("%s, %d GiB: %d ms (%s), %d KiB", p.Name, size>>30, took.Milliseconds(), strings.Join(steps, ", "), taken)
	require.NoError(t, g.release(marker))
	disk.detach()
	require.NoError(t, os.Truncate(disk.file, 0))
	return took, taken
}

// allocated is what the disk's file takes, in KiB.
func (d *loopDisk) allocated() int {
	var kib int
	_, err := fmt.Sscan(run(d.t, "du", "-k", d.file), &kib)
	require.NoError(d.t, err)
	return kib
}

// available is the free memory without caches, in KiB.
func available(t *testing.T) int {
	t.Helper()
	dropCaches(t)
	text, err := os.ReadFile("/proc/meminfo")
	require.NoError(t, err)
	for _, line := range strings.Split(string(text), "\n") {
		if rest, found := strings.CutPrefix(line, "MemFree:"); found {
			var kib int
			_, err := fmt.Sscan(rest, &kib)
			require.NoError(t, err)
			return kib
		}
	}
	t.Fatal("no MemFree in /proc/meminfo")
	return 0
}

// What a profile costs at work: random bytes written and synced, and read back
// past the caches, in turns. What is read is what was written, before a figure
// counts.
func TestThroughput(t *testing.T) {
	if !everything() {
		t.Skip("needs TES_ALL=1: it measures for docs/profiles.md")
	}
	const size, rounds = 64 << 20, 3
	source := filepath.Join(t.TempDir(), "random")
	run(t, "dd", "if=/dev/urandom", "of="+source, "bs=1M", fmt.Sprintf("count=%d", size>>20))
	writes, reads := map[string][]time.Duration{}, map[string][]time.Duration{}
	for range rounds {
		for _, p := range profile.All() {
			marker := agentproto.NewMarker()
			disk, _ := newAttachedDisk(t, marker, gib)
			g := newGuest(t, withProfile(p))
			_, err := g.prepare(marker)
			require.NoError(t, err)
			began := time.Now()
			run(t, "dd", "if="+source, "of=/run/image/file", "bs=1M", "conv=fsync")
			writes[p.Name] = append(writes[p.Name], time.Since(began))
			dropCaches(t)
			began = time.Now()
			run(t, "dd", "if=/run/image/file", "of=/dev/null", "bs=1M")
			reads[p.Name] = append(reads[p.Name], time.Since(began))
			dropCaches(t)
			run(t, "cmp", source, "/run/image/file")
			require.NoError(t, g.release(marker))
			disk.detach()
			require.NoError(t, os.Truncate(disk.file, 0))
		}
	}
	plain, sealed := profile.Confidentiality.Name, profile.Integrity.Name
	for name, times := range map[string]map[string][]time.Duration{"write": writes, "read": reads} {
		t.Logf("summary: %s of %d MiB: %s %s s, %s %s s, time ratio of the medians %.2f", name, size>>20,
			plain, seconds(times[plain]), sealed, seconds(times[sealed]), median(times[sealed]).Seconds()/median(times[plain]).Seconds())
	}
}

func median[T cmp.Ordered](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

func seconds(times []time.Duration) string {
	words := make([]string, len(times))
	for i, took := range times {
		words[i] = fmt.Sprintf("%.2f", took.Seconds())
	}
	return strings.Join(words, ", ")
}
