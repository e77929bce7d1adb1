// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/shim/report"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

const (
	mebibyte = 1 << 20
	ready    = "ready"
)

// began is when the stores of these tests came into their state.
var began = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// fake is a node with a few volumes, whose sandboxes are up to a test.
type fake struct {
	Node
	t *testing.T
}

func newFake(t *testing.T, limit time.Duration) fake {
	t.Helper()
	// Short: sockets have short paths.
	dir, err := os.MkdirTemp("", "st")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Mkdir(filepath.Join(dir, "run"), 0o700))
	f := fake{Below(dir), t}
	f.Limit = limit
	f.device("253:0", "dm-0", map[string]string{"size": "2097152", "dm/name": "vg-web"})
	f.device("8:16", "sdb", map[string]string{"size": "8"})
	f.device("253:1", "cciss!c0d0", nil)
	return f
}

// device is one as sysfs has it; not in testdata, because Go's modules have no
// file with such a name.
func (f fake) device(number, name string, files map[string]string) {
	f.t.Helper()
	dir, link := filepath.Join(f.Sys, "devices", name), filepath.Join(f.Sys, "dev", "block", number)
	require.NoError(f.t, os.MkdirAll(filepath.Join(dir, "dm"), 0o700))
	require.NoError(f.t, os.MkdirAll(filepath.Dir(link), 0o700))
	require.NoError(f.t, os.Symlink(filepath.Join("../../devices", name), link))
	for file, text := range files {
		require.NoError(f.t, os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o600))
	}
}

// sandbox makes a sandbox's folder; its process answers that, if it is told to.
func (f fake) sandbox(id string, answers *report.Sandbox) {
	f.t.Helper()
	require.NoError(f.t, rundir.Create(f.RunRoot, id, rundir.Sandbox{}))
	if answers == nil {
		return
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	answers.Format, answers.ID = report.Format, id
	s, err := report.Serve(rundir.StatusPath(f.RunRoot, id), func(context.Context) report.Sandbox { return *answers }, logrus.NewEntry(log))
	require.NoError(f.t, err)
	f.t.Cleanup(func() { require.NoError(f.t, s.Close()) })
}

// listen is a process that takes connections and never says a word.
func (f fake) listen(id string) net.Listener {
	f.t.Helper()
	f.sandbox(id, nil)
	l, err := net.Listen("unix", rundir.StatusPath(f.RunRoot, id))
	require.NoError(f.t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	f.t.Cleanup(func() { _ = l.Close() })
	return l
}

func (f fake) bundle(id, config string) {
	f.t.Helper()
	dir := filepath.Join(f.Bundles, id)
	require.NoError(f.t, os.MkdirAll(dir, 0o700))
	require.NoError(f.t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600))
}

func (f fake) lines(now time.Time) (lines, notes []string) {
	f.t.Helper()
	rows, err := f.Collect(f.t.Context())
	require.NoError(f.t, err)
	for _, row := range rows {
		lines = append(lines, strings.Join(row.Line(now), " "))
		notes = append(notes, row.Notes()...)
	}
	return lines, notes
}

// Each kind of row, as a person sees it.
func TestRows(t *testing.T) {
	f := newFake(t, time.Minute)
	f.sandbox("a0ready", &report.Sandbox{Shim: "1.2.3", Namespace: "shop", Pod: "web", Store: report.Store{
		State: ready, Since: began, Device: "253:0", Marker: "tes-0123456789abcdef",
		Guest: &report.Guest{Profile: "integrity", SizeBytes: 980 * mebibyte, UsedBytes: 0},
	}})
	f.sandbox("b0none", &report.Sandbox{Namespace: "shop", Pod: "plain", Store: report.Store{State: "none", Since: began}})
	f.sandbox("c0preparing", &report.Sandbox{Namespace: "shop", Pod: "slow", Store: report.Store{
		State: "preparing", Since: began, Device: "8:16", Marker: "tes-0000000000000001", Step: "prepare",
	}})
	f.sandbox("d0failed", &report.Sandbox{Namespace: "shop", Pod: "bad", Store: report.Store{
		State: "failed", Since: began, Device: "7:7", Reason: "too small; ask for more",
	}})
	f.sandbox("e0silentguest", &report.Sandbox{Namespace: "shop", Pod: "dumb", Store: report.Store{
		State: ready, Since: began, Device: "253:1", Marker: "tes-0000000000000002", Guest: &report.Guest{Problem: "the guest does not answer"},
	}})
	f.sandbox("f0older", nil)
	f.bundle("f0older", `{"annotations":{"io.kubernetes.cri.sandbox-name":"old","io.kubernetes.cri.sandbox-namespace":"shop"}}`)
	f.sandbox("g0nobodyknows", nil)

	lines, notes := f.lines(began.Add(3 * time.Minute))
	require.Equal(t, []string{
		"a0ready shop/web /dev/mapper/vg-web tes-0123456789abcdef ready 980Mi 0 integrity 3m",
		"b0none shop/plain - - none - - - 3m",
		"c0preparing shop/slow /dev/sdb tes-0000000000000001 preparing (prepare) - - - 3m",
		"d0failed shop/bad 7:7 - failed - - - 3m",
		"e0silentguest shop/dumb /dev/cciss/c0d0 tes-0000000000000002 ready - - - 3m",
		"f0older shop/old - - unknown - - - -",
		"g0nobodyknows - - - unknown - - - -",
	}, lines)
	require.Len(t, notes, 4)
	require.Equal(t, "shop/bad: failed: too small; ask for more", notes[0])
	require.Equal(t, "shop/dumb: guest: the guest does not answer", notes[1])
	require.Contains(t, notes[2], "shop/old: unknown: its shim has no status socket")
	require.Contains(t, notes[3], "g0nobodyknows: unknown:")
}

// Processes that hang, have ended or talk nonsense cost their own rows their
// limit, all at once, and the neighbours nothing.
func TestProcessesThatDoNotTell(t *testing.T) {
	f := newFake(t, 100*time.Millisecond)
	for _, id := range []string{"hung1", "hung2", "hung3"} {
		f.listen(id)
	}
	require.NoError(t, f.listen("killed").Close())
	nonsense := f.listen("nonsense")
	go func() {
		if conn, err := nonsense.Accept(); err == nil {
			_, _ = conn.Write([]byte("\x1b[2Jhello"))
			_ = conn.Close()
		}
	}()
	f.sandbox("well", &report.Sandbox{Store: report.Store{State: "none"}})
	rows, err := f.Collect(t.Context())
	require.NoError(t, err)
	require.Len(t, rows, 6)
	for _, row := range rows {
		want := map[string]string{
			"killed": "has ended", "nonsense": "not a status document", "well": "",
		}[row.Sandbox]
		if strings.HasPrefix(row.Sandbox, "hung") {
			want = "does not answer"
		}
		if want == "" {
			require.Equal(t, "none", row.State)
			continue
		}
		require.Equal(t, Unknown, row.State)
		require.Contains(t, row.Reason, want)
		require.NotContains(t, row.Reason, "\x1b")
	}
}

func TestNoNode(t *testing.T) {
	rows, err := Below(t.TempDir()).Collect(t.Context())
	require.NoError(t, err, "nothing was installed or started yet")
	require.Empty(t, rows)

	f := newFake(t, time.Minute)
	require.NoError(t, os.WriteFile(f.RunRoot, nil, 0o600))
	_, err = f.Collect(t.Context())
	require.Error(t, err)
}

func TestChoose(t *testing.T) {
	rows := []Row{
		{Sandbox: "0123aa", Namespace: "shop", Pod: "web"},
		{Sandbox: "0123bb", Namespace: "test", Pod: "web"},
		{Sandbox: "4567aa", Namespace: "shop", Pod: "again"},
		{Sandbox: "4567bb", Namespace: "shop", Pod: "again"},
		{Sandbox: "89", Namespace: "shop", Pod: "0123aa"},
		{Sandbox: "89ab"},
	}
	for meant, want := range map[string][]string{
		"shop/web": {"0123aa"},
		"test/web": {"0123bb"},
		"again":    {"4567aa", "4567bb"}, // a pod that is being made again
		"0123b":    {"0123bb"},
		"0123aa":   {"89"}, // a pod's name comes before a sandbox's
		"89":       {"89"}, // a whole id before the beginning of another
		"89a":      {"89ab"},
	} {
		found, err := Choose(rows, meant)
		require.NoError(t, err, meant)
		var ids []string
		for _, row := range found {
			ids = append(ids, row.Sandbox)
		}
		require.Equal(t, want, ids, meant)
	}
	for meant, word := range map[string]string{
		"web":  "shop/web, test/web",
		"0123": "0123aa, 0123bb",
		"4567": "4567aa, 4567bb",
	} {
		_, err := Choose(rows, meant)
		require.ErrorIs(t, err, ErrAmbiguous, meant)
		require.ErrorContains(t, err, word)
	}
	for _, meant := range []string{"", "nobody", "other/web", "shop/", "/web"} {
		_, err := Choose(rows, meant)
		require.ErrorIs(t, err, ErrUnknown, meant)
		require.ErrorContains(t, err, "of 1 nobody knows the pod")
	}
}

// A volume's size is in bytes, and a number that is none leads nowhere.
func TestVolume(t *testing.T) {
	f := newFake(t, time.Minute)
	require.Equal(t, Volume{Number: "253:0", Path: "/dev/mapper/vg-web", SizeBytes: 1 << 30}, f.volume("253:0"))
	require.Equal(t, Volume{Number: "8:16", Path: "/dev/sdb", SizeBytes: 4096}, f.volume("8:16"))
	for _, number := range []string{"", "9:9", "../devices/sdb", "8:16/..", "8:16 "} {
		require.Equal(t, Volume{Number: number}, f.volume(number))
	}
}

func TestUnits(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 1023: "1023", 1024: "1.0Ki", 10 << 10: "10Ki", 64 * mebibyte: "64Mi", 1<<64 - 1: "16Ei"} {
		require.Equal(t, want, bytes(&n))
	}
	for d, want := range map[time.Duration]string{
		-1: "", 0: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 119 * time.Minute: "119m", 47 * time.Hour: "47h", 48 * time.Hour: "2d",
	} {
		require.Equal(t, want, age(d))
	}
	later := began.Add(time.Hour)
	require.Zero(t, Row{Since: &later}.Age(began), "clocks go back")
}
