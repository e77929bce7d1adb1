// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"flag"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/functional-tests/docs/generated"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

// TestReference: the page has each key with its comment and the built-in value.
func TestReference(t *testing.T) {
	b := builtin()
	require.Empty(t, b.InnerShim, "programs are looked for")
	require.Empty(t, b.Hypervisor, "programs are looked for")
	limit := func(d time.Duration) *duration { return (*duration)(&d) }
	written := section{
		DevicePath: b.DevicePath,
		Minimum:    (*size)(&b.MinimumSize),
		LateStore:  string(b.LateStore),
		LogLevel:   b.LogLevel,
		Traces:     &b.Traces,
		Timeouts: timeoutTable{
			Find: limit(b.Timeouts.Find), Attach: limit(b.Timeouts.Attach), Prepare: limit(b.Timeouts.Prepare),
			Undo: limit(b.Timeouts.Undo), HungDisk: limit(b.Timeouts.HungDisk),
		},
	}
	var settings Settings
	written.apply(&settings)
	require.Equal(t, b, settings, "a setting is missing here")

	text, err := generated.Table{
		Package: ".",
		Types: map[reflect.Type]generated.Type{
			reflect.TypeFor[size](): {Name: "size", Show: func(v reflect.Value) string {
				return fmt.Sprintf("%q", fmt.Sprint(v.Uint()>>20, "MiB"))
			}},
			reflect.TypeFor[duration](): {Name: "time limit", Show: func(v reflect.Value) string {
				return fmt.Sprintf("%q", strings.Replace(time.Duration(v.Int()).String(), "m0s", "m", 1))
			}},
		},
	}.Markdown(written)
	require.NoError(t, err)
	require.NoError(t, generated.Section("../../docs/configuration.md", "config.toml", text, *update))
}
