// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestABundleThatTheInnerShimFindsElsewhere: it has another working folder, so
// that what we read by a relative path says nothing about what it will read.
func TestABundleThatTheInnerShimFindsElsewhere(t *testing.T) {
	p := newPod(t, unhurried)
	for _, bundle := range []string{"", ".", "bundle", "../bundle"} {
		err := p.interceptor.Create(context.Background(), "container", bundle)
		require.Equal(t, codes.InvalidArgument, status.Code(err), "bundle %q: %v", bundle, err)
	}
}
