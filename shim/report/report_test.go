// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

// patience is how long anything may take that should be at once.
const patience = 20 * time.Second

func full() Sandbox {
	return Sandbox{
		Format: Format, ID: "0123abc", Shim: "1.2.3", Namespace: "default", Pod: "web",
		Store: Store{
			State: "ready", Since: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Device: "253:0", Marker: "tes-0123456789abcdef",
			Guest: &Guest{Profile: "integrity", SizeBytes: 1 << 40, UsedBytes: 1 << 30},
		},
	}
}

func serve(t *testing.T, tell func(ctx context.Context) Sandbox) (*Server, string) {
	t.Helper()
	// Short: sockets have short paths.
	dir, err := os.MkdirTemp("", "rp")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	path := filepath.Join(dir, "status.sock")
	log := logrus.New()
	log.SetOutput(io.Discard)
	s, err := Serve(path, tell, logrus.NewEntry(log))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() }) // once more is an error that says nothing
	return s, path
}

func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

func TestAsk(t *testing.T) {
	_, path := serve(t, func(context.Context) Sandbox { return full() })
	for range 3 {
		got, err := Ask(within(t, patience), path)
		require.NoError(t, err)
		require.Equal(t, full(), got)
	}
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, fs.ModeSocket|0o600, info.Mode())
}

// More questions than are answered at a time, from callers who never listen and
// callers who leave: each one who listens gets an answer.
func TestManyAsk(t *testing.T) {
	_, path := serve(t, func(context.Context) Sandbox { return full() })
	for range 2 * maxAsking {
		idle, err := net.Dial("unix", path)
		require.NoError(t, err)
		t.Cleanup(func() { _ = idle.Close() })
		gone, err := net.Dial("unix", path)
		require.NoError(t, err)
		require.NoError(t, gone.Close())
	}
	var asking sync.WaitGroup
	errs := make(chan error, 50)
	for range cap(errs) {
		asking.Go(func() {
			_, err := Ask(within(t, patience), path)
			errs <- err
		})
	}
	asking.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

// What takes long to be told is told within its limit, and never after the end.
func TestCloseCutsShort(t *testing.T) {
	asked, cut := make(chan struct{}), make(chan struct{})
	s, path := serve(t, func(ctx context.Context) Sandbox {
		_, limited := ctx.Deadline()
		require.True(t, limited)
		close(asked)
		<-ctx.Done()
		close(cut)
		return full()
	})
	answered := make(chan error, 1)
	go func() {
		_, err := Ask(within(t, patience), path)
		answered <- err
	}()
	<-asked
	require.NoError(t, s.Close())
	<-cut
	require.NoError(t, <-answered)
	_, err := Ask(within(t, patience), path)
	require.ErrorIs(t, err, ErrEnded)
}

func TestNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	_, err := Ask(within(t, patience), filepath.Join(dir, "missing"))
	require.ErrorIs(t, err, ErrNoSocket)

	// As a process that was stopped: the kernel takes the connection.
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	_, err = Ask(within(t, 50*time.Millisecond), path)
	require.ErrorIs(t, err, ErrSilent)

	// And then it is killed.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	_, err = Ask(within(t, patience), path)
	require.ErrorIs(t, err, ErrEnded)
}

// A socket that an earlier sandbox of that name left is replaced, and nothing
// else makes the sandbox fail.
func TestServeAgain(t *testing.T) {
	first, path := serve(t, func(context.Context) Sandbox { return full() })
	require.NoError(t, first.Close())
	require.FileExists(t, path, "its file belongs to the folder")
	second, err := Serve(path, func(context.Context) Sandbox { return full() }, first.log)
	require.NoError(t, err)
	_, err = Ask(within(t, patience), path)
	require.NoError(t, err)
	require.NoError(t, second.Close())

	_, err = Serve(filepath.Join(filepath.Dir(path), "no folder", "s"), nil, first.log)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestParse(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    string
	}{
		"empty":        {"", "not a status document"},
		"no JSON":      {"hello", "not a status document"},
		"wrong type":   {`{"format":1,"store":[]}`, "not a status document"},
		"newer format": {`{"format":2}`, "use the kata-tes of the shim's release"},
		"no format":    {`{}`, "format 0"},
		"too long":     {`{"format":1,"sandbox":"` + strings.Repeat("a", maxDocument) + `"}`, "more than"},
		"two":          {`{"format":1}{"format":1}`, "not a status document"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse([]byte(test.content))
			require.ErrorIs(t, err, ErrNoDocument)
			require.ErrorContains(t, err, test.want)
		})
	}
	later, err := parse([]byte(`{"format":1,"sandbox":"a","new":{"x":1},"store":{"state":"ready","new":2}}`))
	require.NoError(t, err, "fields of a later release are ignored")
	require.Equal(t, "ready", later.Store.State)
}

// A guest's words are cut and lose what a terminal would obey.
func TestTexts(t *testing.T) {
	s := full()
	s.Store.Reason = "a\x1b[2Jb\nc" + strings.Repeat("é", maxText)
	s.Store.Guest.Problem = "\xff\u202e" + strings.Repeat("x", 2*maxText)
	before := *s.Store.Guest
	content, err := encode(s)
	require.NoError(t, err)
	require.Equal(t, before, *s.Store.Guest, "the caller's document stays as it was")
	got, err := parse(content)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(got.Store.Reason, "a [2Jb cé"), got.Store.Reason)
	require.LessOrEqual(t, len(got.Store.Reason), maxText)
	require.True(t, strings.HasSuffix(got.Store.Reason, "…"))
	require.True(t, strings.HasPrefix(got.Store.Guest.Problem, "  xxx"), got.Store.Guest.Problem[:10])
}

func FuzzParse(f *testing.F) {
	document, err := encode(full())
	require.NoError(f, err)
	f.Add(document)
	f.Add([]byte(`{"format":1,"store":{"reason":"\u001b[31m\ud800","guest":{"size_bytes":18446744073709551615}}}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := parse(content)
		if err != nil {
			require.ErrorIs(t, err, ErrNoDocument)
			return
		}
		again, err := encode(s)
		if err != nil {
			return // a year that JSON has no form for
		}
		require.LessOrEqual(t, len(again), maxDocument)
		got, err := parse(again)
		require.NoError(t, err)
		require.True(t, s.Store.Since.Equal(got.Store.Since))
		s.Store.Since, got.Store.Since = time.Time{}, time.Time{}
		require.Equal(t, s, got)
		for _, text := range []string{s.ID, s.Pod, s.Store.Reason} {
			require.Equal(t, text, printable(text, maxText))
		}
	})
}
