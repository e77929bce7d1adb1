// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package prepare

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/agent-ext/command"
	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/store"
	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

// rounds for each disk; each is one of CDH and one of ours.
const rounds = 3

// BenchmarkPrepare prints both sides for each disk whose serial number is a
// marker (NODE_DISKS).
func BenchmarkPrepare(b *testing.B) {
	disks := markedDisks(b)
	require.NotEmpty(b, disks, `set NODE_DISKS="serial=tes-0000000000000001,size=1G,bus=scsi …"`)
	for range b.N {
		fmt.Printf("%8s  %-32s %-32s %s\n", "size", "CDH's commands, s", "ours, s", "ours / CDH")
		for _, d := range disks {
			measure(b, d)
		}
	}
}

func measure(b *testing.B, d markedDisk) {
	b.Helper()
	var theirs, ours []time.Duration
	var steps []store.Step
	for range rounds {
		theirs = append(theirs, cdh(b, d.device))
		took, last := prepare(b, d.marker)
		ours, steps = append(ours, took), last
	}
	ratio := median(ours).Seconds() / median(theirs).Seconds()
	fmt.Printf("%4d GiB  %-32s %-32s %.3f\n", d.size>>30, seconds(theirs), seconds(ours), ratio)
	fmt.Printf("          our steps:")
	for _, s := range steps {
		fmt.Printf(" %s %d ms", s.Name, s.Took.Milliseconds())
	}
	fmt.Println()
	b.ReportMetric(ratio, fmt.Sprintf("ours/cdh-%dGiB", d.size>>30))
	b.ReportMetric(median(ours).Seconds(), fmt.Sprintf("s-%dGiB", d.size>>30))
}

// prepare is the guest's Prepare as the host asks for it, without the wire.
func prepare(b *testing.B, marker agentproto.Marker) (time.Duration, []store.Step) {
	b.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	s, err := store.New(agentproto.ImageStore, config.Default(), command.Real{}, logrus.NewEntry(log))
	require.NoError(b, err)
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	ready, err := s.Prepare(ctx, marker)
	took := time.Since(began)
	require.NoError(b, err)
	require.NoError(b, s.Release(ctx, marker))
	return took, ready.Steps
}

type markedDisk struct {
	device string
	marker agentproto.Marker
	size   uint64
}

// markedDisks are the SCSI disks of the node that are for us, by size.
func markedDisks(b *testing.B) []markedDisk {
	b.Helper()
	pages, err := filepath.Glob("/sys/block/*/device/vpd_pg80")
	require.NoError(b, err)
	var disks []markedDisk
	for _, path := range pages {
		page, err := os.ReadFile(path)
		require.NoError(b, err)
		marker, err := agentproto.ParseMarker(string(page[min(4, len(page)):]))
		if err != nil {
			continue
		}
		dir := filepath.Dir(filepath.Dir(path))
		text, err := os.ReadFile(filepath.Join(dir, "size"))
		require.NoError(b, err)
		sectors, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		require.NoError(b, err)
		disks = append(disks, markedDisk{device: filepath.Join("/dev", filepath.Base(dir)), marker: marker, size: sectors * 512})
	}
	slices.SortFunc(disks, func(x, y markedDisk) int { return int(x.size>>30) - int(y.size>>30) })
	return disks
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}

func seconds(times []time.Duration) string {
	words := make([]string, len(times))
	for i, t := range times {
		words[i] = fmt.Sprintf("%.2f", t.Seconds())
	}
	return strings.Join(words, ", ")
}
