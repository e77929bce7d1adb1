// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package version

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOf(t *testing.T) {
	require.Equal(t, "v1.2.3-4-gabcdef", Of([]byte("\x00rubbish[kata-tes-version:[kata-tes-version:v1.2.3-4-gabcdef]more")))
	require.Equal(t, "unknown", Of([]byte("[kata-tes-version:v1 2]")))
	require.Equal(t, "unknown", Of(nil))
}
