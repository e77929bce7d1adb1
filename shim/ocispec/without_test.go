// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ocispec

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// cut splits a text in which «…» is what should vanish.
func cut(text string) (before, after string) {
	var rest strings.Builder
	for piece := range strings.SplitSeq(text, "»") {
		kept, _, _ := strings.Cut(piece, "«")
		rest.WriteString(kept)
	}
	return strings.NewReplacer("«", "", "»", "").Replace(text), rest.String()
}

const (
	entry = `{"path":"/dev/trusted_store","type":"b","major":8,"minor":1,"fileMode":432}`
	own   = `{"allow":true,"type":"b","major":8,"minor":1,"access":"rwm"}`
)

func TestWithout(t *testing.T) {
	tests := map[string]string{
		"alone":           `{"linux":{"devices":[«` + entry + `»]}}`,
		"first":           `{"linux":{"devices":[«` + entry + `,» {"path":"/dev/a"}]}}`,
		"last":            `{"linux":{"devices":[{"path":"/dev/a"}«,` + entry + `»]}}`,
		"in between":      `{"linux":{"devices":[{"path":"/dev/a"},« ` + entry + `,»{"path":"/dev/b"}]}}`,
		"with a rule":     `{"linux":{"devices":[«` + entry + `»],"resources":{"devices":[{"allow":false}«,` + own + `»]}}}`,
		"rule first":      `{"linux":{"resources":{"devices":[«` + own + `,»{"allow":false}]},"devices":[«` + entry + `»]}}`,
		"rules around":    `{"linux":{"resources":{"devices":[«` + own + `,»{"allow":false}«,` + own + `»]},"devices":[«` + entry + `»]}}`,
		"odd neighbours":  "{\"a\\\"b\":[1.50,1e400,-0,\"\\u00e9é\xff\",\"]},{\"],\n\t\"linux\":{\"devices\":[{\"path\":\"\\\"]}/\"}«," + entry + "»]},\"z\":null}\n",
		"keys like paths": `{"linux.devices.0":7,"linux":{"devices.0":[1],"devices":[«` + entry + `»],"0":{}}}`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			before, after := cut(text)
			s := read(t, before)
			store, err := s.Store(storePath)
			require.NoError(t, err)
			got, err := s.Without(store)
			require.NoError(t, err)
			require.Equal(t, after, string(got))
			require.Equal(t, before, string(s.raw), "the original is untouched")
		})
	}
}

// The recorded file: the lines that differ are those of the device and its rule.
func TestWithoutASidecarsStore(t *testing.T) {
	raw, err := os.ReadFile(sample)
	require.NoError(t, err)
	s, err := parse(sample, raw)
	require.NoError(t, err)
	store, err := s.Store(storePath)
	require.NoError(t, err)
	got, err := s.Without(store)
	require.NoError(t, err)

	rule := ",\n    {\n     \"allow\": true,\n     \"type\": \"b\",\n     \"major\": 253,\n     \"minor\": 0,\n     \"access\": \"rwm\"\n    }"
	device := "{\n    \"path\": \"/dev/trusted_store\",\n    \"type\": \"b\",\n    \"major\": 253,\n    \"minor\": 0,\n    \"fileMode\": 432,\n    \"uid\": 0,\n    \"gid\": 6\n   }"
	want := string(raw)
	for _, piece := range []string{rule, device} {
		require.Equal(t, 1, strings.Count(want, piece))
		want = strings.Replace(want, piece, "", 1)
	}
	require.Equal(t, want, string(got))
}

// A file whose keys are there twice, or in other letters, means one thing to
// one parser and another to the next. It is refused.
func TestWithoutRefusesWhatIsAmbiguous(t *testing.T) {
	for name, text := range map[string]string{
		"linux twice":     `{"linux":{"devices":[{"path":"/dev/a"}]},"linux":{"devices":[` + entry + `]}}`,
		"devices twice":   `{"linux":{"devices":[` + entry + `,{"path":"/dev/a"}],"devices":[` + entry + `]}}`,
		"other letters":   `{"Linux":{"Devices":[` + entry + `]}}`,
		"resources twice": `{"linux":{"devices":[` + entry + `],"resources":{"devices":[{"allow":false}]},"resources":{"devices":[` + own + `]}}}`,
		"rules elsewhere": `{"linux":{"devices":[` + entry + `],"resources":{"Devices":[` + own + `]}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := read(t, text)
			store, err := s.Store(storePath)
			require.NoError(t, err)
			_, err = s.Without(store)
			require.ErrorIs(t, err, ErrNotExact)
		})
	}
}

// verify is the last line of defence against a cut that went wrong.
func TestVerifyCatchesAWrongCut(t *testing.T) {
	text := `{"linux":{"devices":[{"path":"/dev/a","type":"c"},` + entry + `],"resources":{"devices":[{"allow":false},` + own + `]}},"n":1}`
	s := read(t, text)
	store, err := s.Store(storePath)
	require.NoError(t, err)
	for name, wrong := range map[string]string{
		"nothing cut":        text,
		"the rule left":      `{"linux":{"devices":[{"path":"/dev/a","type":"c"}],"resources":{"devices":[{"allow":false},` + own + `]}},"n":1}`,
		"another device cut": `{"linux":{"devices":[` + entry + `],"resources":{"devices":[{"allow":false}]}},"n":1}`,
		"too much cut":       `{"linux":{"devices":[],"resources":{"devices":[{"allow":false}]}},"n":1}`,
		"the list cut":       `{"linux":{"resources":{"devices":[{"allow":false}]}},"n":1}`,
		"another value":      `{"linux":{"devices":[{"path":"/dev/a","type":"c"}],"resources":{"devices":[{"allow":false}]}},"n":1.0}`,
		"broken":             `{"linux":`,
	} {
		require.Error(t, s.verify([]byte(wrong), store), name)
	}
	require.NoError(t, s.verify([]byte(`{"linux":{"devices":[{"path":"/dev/a","type":"c"}],"resources":{"devices":[{"allow":false}]}},"n":1}`), store))
}

// Any place among any number of neighbours.
func TestWithoutAtEveryPlace(t *testing.T) {
	for count := range 6 {
		for place := range count + 1 {
			var list, kept []string
			for i := range count + 1 {
				if i == place {
					list = append(list, entry)
					continue
				}
				neighbour := fmt.Sprintf(`{"path":"/dev/n%d","type":"b","major":9,"minor":%d}`, i, i)
				list, kept = append(list, neighbour), append(kept, neighbour)
			}
			s := read(t, devices(strings.Join(list, ",")))
			store, err := s.Store(storePath)
			require.NoError(t, err)
			got, err := s.Without(store)
			require.NoError(t, err)
			require.Equal(t, devices(strings.Join(kept, ",")), string(got))
		}
	}
}
