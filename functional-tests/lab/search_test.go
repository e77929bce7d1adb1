// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A text is found wherever it lies: after a hole, across what is read at once,
// at the very end.
func TestSearchFile(t *testing.T) {
	const size, chunk = 64 << 20, 4 << 20
	f, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	require.NoError(t, err)
	require.NoError(t, f.Truncate(size))
	write := func(text string, at int64) {
		_, err := f.WriteAt([]byte(text), at)
		require.NoError(t, err)
	}
	filler := make([]byte, 2*chunk)
	for i := range filler {
		filler[i] = 'x'
	}
	write(string(filler), 16<<20)
	write("across", 16<<20+chunk-3)
	write("alone", 40<<20)
	write("last", size-4)
	found, err := searchFile(f, [][]byte{[]byte("across"), []byte("absent"), []byte("alone"), []byte("last")})
	require.NoError(t, err)
	require.Equal(t, []string{`"across"`, `"alone"`, `"last"`}, found.Texts)
	require.Equal(t, 2*chunk/4096+2, found.Written)
	require.NoError(t, f.Close())
}
