// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package traceparent is the header by which a call says which trace it belongs
// to (W3C Trace Context), as ttrpc metadata: from containerd to the
// shim, and from the shim to the guest. What is made of it is left to both.
package traceparent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// Key is the header's name among ttrpc's metadata.
const Key = "traceparent"

// Context is a place in a trace: a span, and whether anybody records it.
type Context struct {
	Trace   [16]byte
	Span    [8]byte
	Sampled bool
}

const (
	// size is that of version 00: "00-", 32 digits, "-", 16 digits, "-", 2.
	size = 55
	// sampled is a flag, and known are all that there are (level 2 has "random").
	sampled = 1
	known   = 3
)

// Parse reads a header. ok is false for what the specification calls invalid,
// which is to be treated as no header at all.
func Parse(header string) (c Context, ok bool) {
	if len(header) < size || header[2] != '-' || header[35] != '-' || header[52] != '-' {
		return Context{}, false
	}
	var version, flags [1]byte
	if !digits(version[:], header[:2]) || !digits(c.Trace[:], header[3:35]) ||
		!digits(c.Span[:], header[36:52]) || !digits(flags[:], header[53:size]) {
		return Context{}, false
	}
	switch {
	// Later versions may have more flags, and more after a further dash; ff is none.
	case version[0] == 0xff,
		version[0] == 0 && (len(header) > size || flags[0] > known),
		len(header) > size && header[size] != '-',
		c.Trace == [16]byte{}, c.Span == [8]byte{}:
		return Context{}, false
	}
	c.Sampled = flags[0]&sampled != 0
	return c, true
}

// digits decodes lower-case hexadecimal digits, which are the only ones allowed.
func digits(to []byte, text string) bool {
	if strings.ToLower(text) != text {
		return false
	}
	_, err := hex.Decode(to, []byte(text))
	return err == nil
}

// String is the header for a call that the span makes.
func (c Context) String() string {
	flags := "-00"
	if c.Sampled {
		flags = "-01"
	}
	return "00-" + hex.EncodeToString(c.Trace[:]) + "-" + hex.EncodeToString(c.Span[:]) + flags
}

// Child is a new span of the same trace.
func (c Context) Child() Context {
	// Never fails and never returns short: crypto/rand, Go 1.24. All zeros, which
	// would be invalid, is as likely as to guess a span's id.
	_, _ = rand.Read(c.Span[:])
	return c
}

type key struct{}

// NewContext is a context that has the place in it.
func NewContext(ctx context.Context, c Context) context.Context {
	return context.WithValue(ctx, key{}, c)
}

// FromContext is the place that the context has, if it has one.
func FromContext(ctx context.Context) (c Context, ok bool) {
	c, ok = ctx.Value(key{}).(Context)
	return c, ok
}
