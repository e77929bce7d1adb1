// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package program

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	r, err := Run(t.Context(), t.TempDir(), []string{"X=1"}, "sh", "-c", "echo $X; echo wrong >&2; exit 4")
	require.NoError(t, err)
	require.Equal(t, Result{Out: "1\n", Err: "wrong\n", Status: 4}, r)
}

func TestRunFails(t *testing.T) {
	_, err := Run(t.Context(), "/", nil, "no-such-program-of-e2fsprogs")
	require.ErrorContains(t, err, "install the package e2fsprogs")
	_, err = Run(t.Context(), "/", nil, "sh", "-c", "kill -9 $$")
	require.ErrorContains(t, err, "killed")
	_, err = Run(t.Context(), "/", nil, "sh", "-c", "yes")
	require.ErrorContains(t, err, "printed more than")

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	_, err = Run(ctx, "/", nil, "sleep", "1000")
	require.ErrorContains(t, err, "enough")
}

func TestPrintable(t *testing.T) {
	require.Equal(t, "it printed nothing", Printable(" \n"))
	require.Equal(t, "a?[31mb c\nd", Printable("a\x1b[31mb\tc\nd"))
	require.LessOrEqual(t, len(Printable(strings.Repeat("é", maxError))), maxError+len("…"))
}
