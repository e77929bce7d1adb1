// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ocispec

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzBundle takes a file through everything that Create does with it: read,
// the store's choice, rewritten. Whoever asks, by the plainest reading of the
// document, gets a store or a refusal; and the rewritten document has each other
// field as it was, byte by byte.
func FuzzBundle(f *testing.F) {
	recorded, err := os.ReadFile(sample)
	require.NoError(f, err)
	f.Add(recorded)
	for _, text := range []string{
		asking,
		`{"unknown":{"a":[1e400,1.0,-0]},"linux":{"devices":[{"path":"/dev/a","new":1},` + entry + `],"resources":{"devices":[` + own + `],"unified":{}},"x":null}}`,
		`{"linux":{"devices":[` + entry + `]},"linux":{"devices":[]}}`,
		`{"linux":{"devices":[{"path":"/dev/a","path":"/dev/trusted_store","type":"b","major":8,"minor":1}]}}`,
		`{"linux":{"devices":[{"path":"/dev/trusted_store","type":"b","major":8.0,"minor":1e0}]}}`,
		`{"linux":{"devices":[{"path":"dev/../dev/trusted_store/.","type":"b","major":8,"minor":9007199254740993}]}}`,
		"\ufeff" + asking, asking + asking, `{"\u006cinux":{"devices":[` + entry + `]}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		bundle := t.TempDir()
		path := filepath.Join(bundle, configFile)
		require.NoError(t, os.WriteFile(path, raw, 0o640))
		spec, err := Read(bundle)
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		store, err := spec.Store(storePath)
		if err != nil {
			return
		}
		if store == nil {
			require.False(t, asksPlainly(raw), "a store is asked for, and the pod runs without one")
			return
		}
		if err := spec.Rewrite(store); err != nil {
			requireFile(t, path, raw)
			return
		}
		after, err := Read(bundle)
		require.NoError(t, err)
		requireOnlyLess(t, raw, after.raw, store)
		none, err := after.Store(storePath)
		require.NoError(t, err)
		require.Nil(t, none)
		require.NoError(t, spec.Rewrite(store), "twice is a success")
		requireFile(t, path, after.raw)
		entries, err := os.ReadDir(bundle)
		require.NoError(t, err)
		require.Len(t, entries, 1, "a file is left in the bundle")
	})
}

func requireFile(t *testing.T, path string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
}

// asksPlainly says whether a document that nobody has made ambiguous names the
// store's path.
func asksPlainly(raw []byte) bool {
	var all struct {
		Linux struct {
			Devices []struct {
				Path string `json:"path"`
			} `json:"devices"`
		} `json:"linux"`
	}
	return json.Unmarshal(raw, &all) == nil && slices.ContainsFunc(all.Linux.Devices, func(d struct {
		Path string `json:"path"`
	},
	) bool {
		return filepath.Clean("/"+d.Path) == storePath
	})
}

// requireOnlyLess compares the texts of all values at the levels that lead to
// the lists, and of all entries of the lists but those that should be gone.
func requireOnlyLess(t *testing.T, before, after []byte, store *Store) {
	t.Helper()
	requireOthersEqual(t, before, after, "linux")
	before, after = field(t, before, "linux"), field(t, after, "linux")
	requireOthersEqual(t, before, after, "devices", "resources")
	requireEntriesGone(t, field(t, before, "devices"), field(t, after, "devices"), []int{store.entry})
	if len(store.rules) == 0 {
		require.Equal(t, string(field(t, before, "resources")), string(field(t, after, "resources")))
		return
	}
	before, after = field(t, before, "resources"), field(t, after, "resources")
	requireOthersEqual(t, before, after, "devices")
	requireEntriesGone(t, field(t, before, "devices"), field(t, after, "devices"), store.rules)
}

func field(t *testing.T, object []byte, name string) []byte {
	t.Helper()
	return fields(t, object)[name]
}

func fields(t *testing.T, object []byte) map[string]json.RawMessage {
	t.Helper()
	var all map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(object, &all))
	return all
}

func requireOthersEqual(t *testing.T, before, after []byte, but ...string) {
	t.Helper()
	was, is := fields(t, before), fields(t, after)
	for _, name := range but {
		delete(was, name)
		delete(is, name)
	}
	require.Equal(t, was, is)
}

func requireEntriesGone(t *testing.T, before, after []byte, gone []int) {
	t.Helper()
	var was, is []json.RawMessage
	require.NoError(t, json.Unmarshal(before, &was))
	require.NoError(t, json.Unmarshal(after, &is))
	for _, place := range slices.Backward(gone) {
		was = slices.Delete(was, place, place+1)
	}
	require.Equal(t, len(was), len(is))
	for i := range was {
		require.Equal(t, string(was[i]), string(is[i]))
	}
}
