// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/disk"
	"github.com/kata-tes/kata-tes/agent-ext/luks"
	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/stretchr/testify/require"
)

var errBroken = errors.New("broken")

// fakeParts notes what is done, and what stays; calls named in fail fail.
type fakeParts struct {
	done []string
	fail map[string]error
	// stay is what is there: header, mapping, mounts.
	stay map[string]bool
	key  *luks.Key
}

func newFakeParts() *fakeParts {
	return &fakeParts{fail: map[string]error{}, stay: map[string]bool{}}
}

func (f *fakeParts) do(what string, effect func()) error {
	f.done = append(f.done, what)
	if err := f.fail[what]; err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if effect != nil {
		effect()
	}
	return nil
}

func (f *fakeParts) CheckMemory() error { return f.do("memory", nil) }

func (f *fakeParts) CheckMountPoint(at string) error { return f.do("look at "+at, nil) }

func (f *fakeParts) Find(context.Context, string) (string, error) {
	return "sda", f.do("find", nil)
}

func (f *fakeParts) Take(string, string, uint64) (*disk.Disk, error) {
	if err := f.do("take", nil); err != nil {
		return nil, err
	}
	return &disk.Disk{Path: "/dev/sda", Major: 8, Size: 1 << 30}, nil
}

func (f *fakeParts) Volume(*disk.Disk) volume { return fakeVolume{f} }

func (f *fakeParts) Make(context.Context, string) error { return f.do("mkfs", nil) }

func (f *fakeParts) Mount(_, at string) error {
	return f.do("mount "+at, func() { f.stay[at] = true })
}

func (f *fakeParts) Bind(_, at string) error {
	return f.do("bind "+at, func() { f.stay[at] = true })
}

func (f *fakeParts) Unmount(_, at string) error {
	return f.do("unmount "+at, func() { delete(f.stay, at) })
}

func (f *fakeParts) Mounted(_, at string) (bool, error) { return f.stay[at], nil }
func (f *fakeParts) CheckUnused([]string) error         { return f.do("unused", nil) }

type fakeVolume struct{ f *fakeParts }

func (v fakeVolume) Path() string     { return "/dev/mapper/m" }
func (v fakeVolume) CheckName() error { return v.f.do("name", nil) }

func (v fakeVolume) Format(_ context.Context, key *luks.Key) error {
	v.f.key = key
	return v.f.do("format", func() { v.f.stay["header"] = true })
}

// A failed open may have made the mapping.
func (v fakeVolume) Open(_ context.Context, key *luks.Key) error {
	v.f.stay["mapping"] = true
	if key != v.f.key {
		return errors.New("opened with another key")
	}
	return v.f.do("open", nil)
}

func (v fakeVolume) ForgetKey() error        { return v.f.do("forget", nil) }
func (v fakeVolume) Verify() (uint64, error) { return 4096, v.f.do("check", nil) }

func (v fakeVolume) Close(context.Context) error {
	return v.f.do("close", func() { delete(v.f.stay, "mapping") })
}

func (v fakeVolume) RemoveHeader() error {
	return v.f.do("remove header", func() { delete(v.f.stay, "header") })
}

func newPipeline(t *testing.T, parts parts) *pipeline {
	return &pipeline{
		config: config.Store{Mapping: "m", MountPoints: []string{"/a", "/b"}, FindTimeout: config.Duration(time.Minute)},
		record: filepath.Join(t.TempDir(), "record.json"),
		parts:  parts,
	}
}

const someMarker agentproto.Marker = "tes-0123456789abcdef"

var allSteps = []string{
	"memory", "look at /a", "look at /b", "find", "take", "name", "remove header", "format", "open", "forget", "check", "mkfs", "mount /a", "bind /b",
}

func TestPipeline(t *testing.T) {
	parts := newFakeParts()
	p := newPipeline(t, parts)
	var u undo
	ready, err := p.prepare(t.Context(), someMarker, &u)
	require.NoError(t, err)
	require.Equal(t, allSteps, parts.done)
	require.Equal(t, "m", ready.Mapping)
	require.Equal(t, []string{"/a", "/b"}, ready.MountPoints)
	require.Equal(t, uint64(4096), ready.Size)
	names := []string{}
	for _, s := range ready.Steps {
		names = append(names, s.Name)
	}
	require.Equal(t, []string{"find", "verify", "format", "open", "check", "mkfs", "mount"}, names)
	require.FileExists(t, p.record)

	parts.done = nil
	require.NoError(t, u.run(t.Context()))
	require.Equal(t, []string{"unmount /b", "unmount /a", "close", "remove header"}, parts.done)
	require.Empty(t, parts.stay)
	require.NoFileExists(t, p.record)
}

// Whatever fails, what was done before it is undone, in reverse, and nothing
// after it is done.
func TestPipelineFailures(t *testing.T) {
	back := map[string][]string{
		"memory": nil, "look at /a": nil, "look at /b": nil, "find": nil, "take": nil, "name": nil, "remove header": nil,
		"format":   {"close", "remove header"},
		"open":     {"close", "remove header"},
		"forget":   {"close", "remove header"},
		"check":    {"close", "remove header"},
		"mkfs":     {"close", "remove header"},
		"mount /a": {"close", "remove header"},
		"bind /b":  {"unmount /a", "close", "remove header"},
	}
	// begun is the step that the host is told of.
	begun := map[string]string{
		"find": "find", "take": "verify", "name": "format", "remove header": "format", "format": "format", "open": "open", "forget": "open",
		"check": "check", "mkfs": "mkfs", "mount /a": "mount", "bind /b": "mount",
	}
	for i, failing := range allSteps {
		t.Run(failing, func(t *testing.T) {
			parts := newFakeParts()
			parts.fail[failing] = errBroken
			p := newPipeline(t, parts)
			var u undo
			_, err := p.prepare(t.Context(), someMarker, &u)
			require.ErrorIs(t, err, errBroken)
			require.Equal(t, allSteps[:i+1], parts.done)
			var failed *FailedError
			require.ErrorAs(t, err, &failed)
			require.Equal(t, begun[failing], lastStep(failed.Steps))

			parts.done = nil
			delete(parts.fail, failing)
			require.NoError(t, u.run(t.Context()))
			require.Equal(t, back[failing], parts.done)
			require.Empty(t, parts.stay)
			require.NoFileExists(t, p.record)
		})
	}
}

// lastStep is the name of the last one; empty without any.
func lastStep(steps []Step) string {
	if len(steps) == 0 {
		return ""
	}
	return steps[len(steps)-1].Name
}

func TestStopwatch(t *testing.T) {
	var w stopwatch
	require.Empty(t, w.stop())
	began := time.Now()
	w.begin("a")
	w.begin("b")
	w.stop()
	steps := w.stop()
	require.Equal(t, "a", steps[0].Name)
	require.Equal(t, "b", steps[1].Name)
	require.LessOrEqual(t, steps[0].Took+steps[1].Took, time.Since(began), "what comes after the last stop counts once")
}

func TestUndoFailuresKeepTheRest(t *testing.T) {
	for _, failing := range []string{"unmount /b", "unmount /a", "close", "remove header"} {
		t.Run(failing, func(t *testing.T) {
			parts := newFakeParts()
			p := newPipeline(t, parts)
			var u undo
			_, err := p.prepare(t.Context(), someMarker, &u)
			require.NoError(t, err)

			parts.fail[failing] = errBroken
			require.ErrorIs(t, u.run(t.Context()), errBroken)
			require.NotEmpty(t, parts.stay)
			require.FileExists(t, p.record)

			delete(parts.fail, failing)
			require.NoError(t, u.run(t.Context()))
			require.Empty(t, parts.stay)
			require.NoFileExists(t, p.record)
		})
	}
}

func TestTryRunIsAllOrNothing(t *testing.T) {
	for _, failing := range []string{"unmount /b", "unmount /a", "close"} {
		t.Run(failing, func(t *testing.T) {
			parts := newFakeParts()
			p := newPipeline(t, parts)
			var u undo
			_, err := p.prepare(t.Context(), someMarker, &u)
			require.NoError(t, err)
			before := maps(parts.stay)

			parts.fail[failing] = errBroken
			intact, err := u.tryRun(t.Context())
			require.ErrorIs(t, err, errBroken)
			require.True(t, intact)
			require.Equal(t, before, maps(parts.stay))

			delete(parts.fail, failing)
			intact, err = u.tryRun(t.Context())
			require.NoError(t, err)
			require.False(t, intact)
			require.Empty(t, parts.stay)
		})
	}
}

// What cannot be mounted again is not intact; the rest can still be undone.
func TestTryRunFailsHalfWay(t *testing.T) {
	parts := newFakeParts()
	p := newPipeline(t, parts)
	var u undo
	_, err := p.prepare(t.Context(), someMarker, &u)
	require.NoError(t, err)
	parts.fail["close"], parts.fail["bind /b"] = errBroken, errBroken
	intact, err := u.tryRun(t.Context())
	require.ErrorIs(t, err, errBroken)
	require.False(t, intact)
	require.Equal(t, map[string]bool{"header": true, "mapping": true, "/a": true}, parts.stay)
	clear(parts.fail)
	require.NoError(t, u.run(t.Context()))
	require.Empty(t, parts.stay)

	// A header that is gone is gone for good.
	parts = newFakeParts()
	p = newPipeline(t, parts)
	u = undo{}
	_, err = p.prepare(t.Context(), someMarker, &u)
	require.NoError(t, err)
	parts.fail["remove header"] = errBroken
	intact, err = u.tryRun(t.Context())
	require.ErrorIs(t, err, errBroken)
	require.False(t, intact)
}

func maps(m map[string]bool) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestPipelineStopsBetweenMounts(t *testing.T) {
	parts := newFakeParts()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrReleased)
	var u undo
	_, err := newPipeline(t, parts).prepare(ctx, someMarker, &u)
	require.ErrorIs(t, err, ErrReleased)
	require.NotContains(t, parts.done, "mount /a")
}

func TestFound(t *testing.T) {
	parts := newFakeParts()
	p := newPipeline(t, parts)
	var u undo
	marker, _, err := p.found(&u)
	require.NoError(t, err)
	require.Empty(t, marker)

	want, err := p.prepare(t.Context(), someMarker, &undo{})
	require.NoError(t, err)
	marker, ready, err := p.found(&u)
	require.NoError(t, err)
	require.Equal(t, someMarker, marker)
	require.Equal(t, want, ready)

	// The live table is looked at again.
	parts.fail["check"] = luks.ErrTable
	marker, _, err = p.found(&undo{})
	require.ErrorIs(t, err, luks.ErrTable)
	require.Equal(t, someMarker, marker)
	clear(parts.fail)

	delete(parts.stay, "/b")
	_, _, err = p.found(&undo{})
	require.ErrorContains(t, err, "not mounted at /b")

	require.NoError(t, u.run(t.Context()))
	require.Empty(t, parts.stay)
	require.NoFileExists(t, p.record)
}

func TestFoundHalfDone(t *testing.T) {
	parts := newFakeParts()
	parts.fail["mkfs"] = errBroken
	p := newPipeline(t, parts)
	_, err := p.prepare(t.Context(), someMarker, &undo{})
	require.ErrorIs(t, err, errBroken)
	// The process dies here.
	var u undo
	marker, _, err := p.found(&u)
	require.Error(t, err)
	require.Equal(t, someMarker, marker)
	require.NoError(t, u.run(t.Context()))
	require.Empty(t, parts.stay)
}

func TestBrokenRecords(t *testing.T) {
	for _, text := range []string{"", "{", "{}", `{"marker":"x"}`, `[]`} {
		p := newPipeline(t, newFakeParts())
		require.NoError(t, os.WriteFile(p.record, []byte(text), 0o600))
		_, _, err := p.found(&undo{})
		require.Error(t, err, text)
	}
}
