// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ocispec

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

// FuzzWithout: whatever the file, either it is refused, or the result is the
// file with less in it, is read the same way otherwise, and asks for nothing.
func FuzzWithout(f *testing.F) {
	recorded, err := os.ReadFile(sample)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(recorded)
	for _, text := range []string{
		asking,
		`{"linux":{"devices":[` + entry + `,` + entry + `]}}`,
		`{"linux":{"resources":{"devices":[` + own + `,{"allow":false},` + own + `]},"devices":[{"path":"/dev/a"},` + entry + `]}}`,
		`{"Linux":{"devices":[` + entry + `]},"linux":{"DEVICES":[]}}`,
		`{"annotations":{"io.kubernetes.cri.container-type":"sandbox"},"linux":null}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parse("config.json", raw)
		if err != nil {
			return
		}
		store, err := s.Store(storePath)
		if err != nil || store == nil {
			return
		}
		original := bytes.Clone(raw)
		got, err := s.Without(store)
		if !bytes.Equal(raw, original) {
			t.Fatal("the original was changed")
		}
		if err != nil {
			if !errors.Is(err, ErrNotExact) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		if !subsequence(got, raw) {
			t.Fatalf("%q has bytes that %q has not", got, raw)
		}
		after, err := parse("config.json", got)
		if err != nil {
			t.Fatal(err)
		}
		if len(after.Linux.Devices) != len(s.Linux.Devices)-1 || len(after.Linux.Resources.Devices) != len(s.Linux.Resources.Devices)-len(store.rules) {
			t.Fatalf("%q became %q", raw, got)
		}
	})
}

// subsequence says whether small is large with bytes left out.
func subsequence(small, large []byte) bool {
	for _, b := range small {
		i := bytes.IndexByte(large, b)
		if i < 0 {
			return false
		}
		large = large[i+1:]
	}
	return true
}
