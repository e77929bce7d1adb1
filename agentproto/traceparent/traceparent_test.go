// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package traceparent

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const example = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

var headers = []string{
	example,
	strings.TrimSuffix(example, "1") + "0",
	strings.TrimSuffix(example, "01") + "03",
	strings.TrimSuffix(example, "01") + "04",
	"cc-" + example[3:],
	"cc-" + example[3:] + "-what-the-future-will-be-like",
	"cc-" + example[3:] + "x",
	example + "-more",
	example + " ",
	"ff-" + example[3:],
	"0-" + example[3:],
	"00-00000000000000000000000000000000-b7ad6b7169203331-01",
	"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
	strings.ToUpper(example),
	"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0X",
	"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
	"00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
	"00-0af7651916cd43dd8448eb211c8031é-b7ad6b7169203331-01",
	"", "-", strings.Repeat("-", 55), strings.Repeat("0", 1<<20),
}

// byOpenTelemetry is what OpenTelemetry's own propagator makes of a header.
func byOpenTelemetry(header string) (Context, bool) {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{Key: header})
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return Context{}, false
	}
	return Context{Trace: span.TraceID(), Span: span.SpanID(), Sampled: span.IsSampled()}, true
}

func TestParse(t *testing.T) {
	valid := 0
	for _, header := range headers {
		got, ok := Parse(header)
		want, wanted := byOpenTelemetry(header)
		require.Equal(t, wanted, ok, "%.80q", header)
		require.Equal(t, want, got, "%.80q", header)
		if ok {
			valid++
		}
	}
	require.Equal(t, 5, valid)
	c, _ := Parse(example)
	require.Equal(t, example, c.String())
}

func TestChild(t *testing.T) {
	parent, _ := Parse(example)
	a, b := parent.Child(), parent.Child()
	require.Equal(t, parent.Trace, a.Trace)
	require.True(t, a.Sampled)
	require.Len(t, map[[8]byte]bool{parent.Span: true, a.Span: true, b.Span: true, {}: true}, 4, "each its own, none invalid")
	again, ok := Parse(a.String())
	require.True(t, ok)
	require.Equal(t, a, again)
}

func TestContext(t *testing.T) {
	_, ok := FromContext(t.Context())
	require.False(t, ok)
	c, _ := Parse(example)
	got, ok := FromContext(NewContext(t.Context(), c))
	require.True(t, ok)
	require.Equal(t, c, got)
}

// FuzzParse: the header is the word of whoever calls. We agree with
// OpenTelemetry on what it means.
func FuzzParse(f *testing.F) {
	for _, header := range headers[:len(headers)-1] {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, ok := Parse(header)
		want, wanted := byOpenTelemetry(header)
		require.Equal(t, wanted, ok)
		require.Equal(t, want, got)
	})
}
