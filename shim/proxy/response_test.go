// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/containerd/ttrpc"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// TestEveryErrorHasAnAnswer: protobuf refuses text that is not UTF-8, and a
// Create without an answer hangs until containerd gives up.
func TestEveryErrorHasAnAnswer(t *testing.T) {
	for name, text := range map[string]string{
		"cut within a character": "x" + strings.Repeat("é", maxMessage),
		"not UTF-8":              "the path /dev/\xff\xfe",
	} {
		frame, err := failure(1, errors.New(text))
		require.NoError(t, err, name)
		var answer ttrpc.Response
		require.NoError(t, proto.Unmarshal(frame[headerSize:], &answer), name)
		require.True(t, utf8.ValidString(answer.GetStatus().GetMessage()), name)
		require.Equal(t, text[:5], answer.GetStatus().GetMessage()[:5], name)
	}
}
