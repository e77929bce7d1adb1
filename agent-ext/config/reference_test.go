// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"flag"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/functional-tests/docs/generated"
)

var update = flag.Bool("update", false, "write docs/configuration.md")

// TestReference: the page has each key with its comment and its default.
func TestReference(t *testing.T) {
	var profiles []string
	for _, p := range profile.All() {
		profiles = append(profiles, strconv.Quote(p.Name))
	}
	text, err := generated.Table{
		Package: ".",
		Types: map[reflect.Type]generated.Type{
			reflect.TypeFor[profile.Profile](): {
				Name: strings.Join(profiles, " or "),
				Show: func(v reflect.Value) string { return strconv.Quote(v.FieldByName("Name").String()) },
			},
			reflect.TypeFor[Size](): {Name: "size", Show: func(v reflect.Value) string {
				return strconv.Quote(fmt.Sprint(v.Uint()>>20, "MiB"))
			}},
			reflect.TypeFor[Duration](): {Name: "time limit", Show: func(v reflect.Value) string {
				return strconv.Quote(strings.Replace(time.Duration(v.Int()).String(), "m0s", "m", 1))
			}},
		},
		Names: map[string]string{"store": "NAME"},
	}.Markdown(Default())
	require.NoError(t, err)
	require.NoError(t, generated.Section("../../docs/configuration.md", "agent.toml", text, *update))
}
