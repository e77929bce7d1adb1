// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/shim/nodelock"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// zeros is the file before anything was counted. It is what node_exporter, the
// rules and the dashboard see; buckets never change under a name.
//
//go:embed testdata/zeros.prom
var zeros string

func logger() (*logrus.Entry, *logtest.Hook) {
	log, hook := logtest.NewNullLogger()
	return logrus.NewEntry(log), hook
}

func path(root string) string { return filepath.Join(rundir.MetricsPath(root), FileName) }

// calls is the content of the file with forwarded calls.
func calls(t *testing.T, root string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(rundir.MetricsPath(root), CallsFileName))
	require.NoError(t, err)
	return string(text)
}

func content(t *testing.T, root string) string {
	t.Helper()
	text, err := os.ReadFile(path(root))
	require.NoError(t, err)
	return string(text)
}

func TestTheFile(t *testing.T) {
	root := filepath.Join(t.TempDir(), "run")
	log, hook := logger()
	n := Open(root, log)
	n.Close()
	require.Equal(t, zeros, content(t, root), "there from the start, so that the first event is an increase")

	n = Open(root, log)
	n.Add(StoresPrepared, "")
	n.Add(StoresPrepared, "")
	n.Add(StoresRefused, "in_use")
	n.Add(LateStores, "warn")
	n.Close()
	n = Open(root, log)
	n.Add(StoresRefused, "in_use")
	n.Add(StoresRefused, "absent")
	n.Close()
	want := strings.NewReplacer(
		"prepared_total 0\n", "prepared_total 2\n",
		"{reason=\"in_use\"} 0\n", "{reason=\"in_use\"} 2\n",
		"{reason=\"aliased\"}", "{reason=\"absent\"} 1\nkata_tes_stores_refused_total{reason=\"aliased\"}",
		"\"warn\"} 0\n", "\"warn\"} 1\n",
	).Replace(zeros)
	require.Equal(t, want, content(t, root))
	require.Empty(t, hook.AllEntries())

	st, err := os.Stat(path(root))
	require.NoError(t, err)
	require.EqualValues(t, 0o644, st.Mode().Perm(), "node_exporter is not root")
	require.NoFileExists(t, path(root)+newSuffix)
}

// TestManyShims: many processes count at once, and whoever reads meanwhile
// finds a whole file whose numbers never go down.
func TestManyShims(t *testing.T) {
	root := filepath.Join(t.TempDir(), "run")
	log, hook := logger()
	const shims, events = 20, 25
	var counting sync.WaitGroup
	for range shims {
		counting.Go(func() {
			n := Open(root, log)
			for range events {
				n.Add(StoresPrepared, "")
			}
			n.Close()
		})
	}
	stop, read := make(chan struct{}), make(chan error, 1)
	go func() { read <- watch(root, stop) }()
	counting.Wait()
	close(stop)
	require.NoError(t, <-read)
	require.Contains(t, content(t, root), fmt.Sprintf("\nkata_tes_stores_prepared_total %d\n", shims*events))
	require.Empty(t, hook.AllEntries())
}

// watch reads as node_exporter does.
func watch(root string, stop <-chan struct{}) error {
	last := 0
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		text, err := os.ReadFile(path(root))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		families, err := parse(string(text))
		if err != nil {
			return err
		}
		var now int
		if _, err := fmt.Sscan(families[0].samples[0].value, &now); err != nil || now < last {
			return fmt.Errorf("%d after %d (%w)", now, last, err)
		}
		last = now
	}
}

// Another shim that keeps the lock stops nobody, and nothing is lost.
func TestALockThatIsKept(t *testing.T) {
	root := filepath.Join(t.TempDir(), "run")
	dir, err := rundir.OpenMetrics(root)
	require.NoError(t, err)
	held, err := nodelock.Take(dir)
	require.NoError(t, err)

	log, hook := logger()
	n := Open(root, log)
	added := make(chan struct{})
	go func() {
		defer close(added)
		n.Add(StoresPrepared, "")
	}()
	select {
	case <-added:
	case <-time.After(nodelock.Limit / 2):
		t.Fatal("Add waits for the lock")
	}
	require.Eventually(t, func() bool { return len(hook.AllEntries()) > 0 }, time.Minute, time.Millisecond)
	require.ErrorIs(t, hook.LastEntry().Data[logrus.ErrorKey].(error), unix.EWOULDBLOCK)
	require.NoFileExists(t, path(root))

	require.NoError(t, held.Close())
	require.NoError(t, dir.Close())
	n.Add(StoresPrepared, "")
	n.Close()
	require.Contains(t, content(t, root), "prepared_total 2\n")
}

func TestAFolderThatIsNotOurs(t *testing.T) {
	root := filepath.Join(t.TempDir(), "run")
	require.NoError(t, os.WriteFile(root, nil, 0o600))
	log, hook := logger()
	n := Open(root, log)
	n.Add(StoresPrepared, "")
	n.Close()
	require.NotEmpty(t, hook.AllEntries())
	require.Contains(t, hook.LastEntry().Data[logrus.ErrorKey].(error).Error(), "not a folder")

	var nobody *Node
	nobody.Add(StoresPrepared, "")
	nobody.Close()
}

// What is damaged starts again, which Prometheus takes for a reset.
func TestADamagedFile(t *testing.T) {
	for name, text := range map[string]string{
		"half a line": "# TYPE a counter\na 1", "no family": "a 1\n", "another's series": "# TYPE a counter\nb 1\n",
		"no value": "# TYPE a counter\na\n", "no number": "# TYPE a counter\na one\n", "zeros": "\x00\x00\x00\x00",
		"too large": "# TYPE a counter\n" + strings.Repeat("a 1\n", maxText),
	} {
		t.Run(name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "run")
			dir, err := rundir.OpenMetrics(root)
			require.NoError(t, err)
			require.NoError(t, dir.WriteFile(FileName, []byte(text), 0o644))
			require.NoError(t, dir.Close())
			log, hook := logger()
			n := Open(root, log)
			n.Add(StoresPrepared, "")
			n.Close()
			require.True(t, content(t, root) == strings.Replace(zeros, "prepared_total 0", "prepared_total 1", 1))
			require.Len(t, hook.AllEntries(), 1)
			require.Contains(t, hook.LastEntry().Message, "start again with zero")
		})
	}
}

// The file is bounded, whatever another release has put in.
func TestAFullFile(t *testing.T) {
	root := filepath.Join(t.TempDir(), "run")
	dir, err := rundir.OpenMetrics(root)
	require.NoError(t, err)
	full := "# TYPE a counter\n" + strings.Repeat("a 1\n", maxText/4-10)
	require.NoError(t, dir.WriteFile(FileName, []byte(full), 0o644))
	require.NoError(t, dir.Close())
	log, hook := logger()
	n := Open(root, log)
	n.Add(StoresPrepared, "")
	n.Close()
	require.True(t, content(t, root) == full, "it is left alone")
	require.Contains(t, hook.LastEntry().Data[logrus.ErrorKey].(error).Error(), "remove "+path(root))
}

// A shim of a later release has more, which stays.
func TestWhatAnotherReleaseCounts(t *testing.T) {
	const histogram = "# HELP kata_tes_later_seconds Later.\n# TYPE kata_tes_later_seconds histogram\n" +
		"kata_tes_later_seconds_bucket{le=\"+Inf\"} 3\nkata_tes_later_seconds_sum 1.5\nkata_tes_later_seconds_count 3\n"
	const other = "kata_tes_stores_prepared_total{volume=\"of another release\"} 4\n"
	families, err := parse(histogram + "# TYPE kata_tes_stores_prepared_total counter\n" + other)
	require.NoError(t, err)
	text := format(eventsFile.add(families, map[string]float64{StoresPrepared.series(""): 1}))
	require.True(t, strings.HasPrefix(text, histogram), text)
	require.Contains(t, text, "\nkata_tes_stores_prepared_total 1\n"+other)
}

func FuzzParse(f *testing.F) {
	f.Add(zeros)
	f.Add("# TYPE a histogram\na_bucket{le=\"+Inf\"} NaN\n")
	f.Fuzz(func(t *testing.T, text string) {
		families, err := parse(text)
		if err != nil {
			return
		}
		require.Equal(t, text, format(families), "nothing is lost")
		if len(text) > maxText/2 {
			return
		}
		again := format(eventsFile.add(families, map[string]float64{StoresRefused.series("x"): 2}))
		families, err = parse(again)
		require.NoError(t, err)
		require.Equal(t, again, format(eventsFile.add(families, nil)))
	})
}

// The sandbox may end while something is counted.
func TestCloseAndAddAtOnce(t *testing.T) {
	root := filepath.Join(t.TempDir(), "run")
	log, hook := logger()
	const events = 200
	n := Open(root, log)
	var counting sync.WaitGroup
	for range events {
		counting.Go(func() { n.Add(StoresPrepared, "") })
		counting.Go(n.Close)
	}
	counting.Wait()
	n.Close()
	require.Contains(t, content(t, root), fmt.Sprintf("\nkata_tes_stores_prepared_total %d\n", events))
	require.Empty(t, hook.AllEntries())
}

// Whatever the umask: others read the file and nothing else, and nobody writes.
func TestModes(t *testing.T) {
	for _, mask := range []int{0, 0o077} {
		old := unix.Umask(mask)
		root := filepath.Join(t.TempDir(), "run")
		log, _ := logger()
		Open(root, log).Close()
		unix.Umask(old)
		folder := rundir.MetricsPath(root)
		for path, mode := range map[string]os.FileMode{
			root: 0o711 | os.ModeDir, folder: 0o755 | os.ModeDir, filepath.Join(folder, FileName): 0o644, filepath.Join(folder, CallsFileName): 0o644, filepath.Join(folder, nodelock.Name): 0o600,
		} {
			info, err := os.Lstat(path)
			require.NoError(t, err)
			require.Equal(t, mode, info.Mode(), "%s with umask %#o", path, mask)
		}
		entries, err := os.ReadDir(folder)
		require.NoError(t, err)
		require.Len(t, entries, 3)
	}
}
