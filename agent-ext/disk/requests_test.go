// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRequests(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Requests
		err  string
	}{
		"Linux 6.1": {"    1000        1    20000      300       40        5      600       70        3      800      900       10        0       11       12        2       13\n", Requests{Waiting: 3, Answered: 1052}, ""},
		"Linux 4.9": {" 1 2 3 4 5 6 7 8 0 10 11\n", Requests{Answered: 6}, ""},
		"short":     {" 1 2 3 4 5 6 7 8\n", Requests{}, "not what a kernel writes"},
		"empty":     {"", Requests{}, "not what a kernel writes"},
		"words":     {" 1 2 3 4 5 6 7 8 few 10 11\n", Requests{}, `"few"`},
	} {
		t.Run(name, func(t *testing.T) {
			sysfs := t.TempDir()
			folder := filepath.Join(sysfs, "dev/block/8:0")
			require.NoError(t, os.MkdirAll(folder, 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(folder, "stat"), []byte(c.text), 0o600))
			r, err := System{Sysfs: sysfs}.Requests("8:0")
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, r)
		})
	}
	_, err := System{Sysfs: t.TempDir()}.Requests("8:0")
	require.ErrorIs(t, err, os.ErrNotExist)
}
