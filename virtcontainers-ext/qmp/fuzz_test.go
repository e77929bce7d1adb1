// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"bufio"
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzMessages feeds a whole stream to what reads QEMU's side of it: every line
// is one of the three kinds or an error, and nothing grows beyond its bound.
func FuzzMessages(f *testing.F) {
	f.Add([]byte(greeting))
	f.Add([]byte(`{"return": {}, "id": 1}` + "\n" + `{"event":"DEVICE_DELETED","data":{"device":"d"}}` + "\n"))
	f.Add([]byte(`{"error": {"class": "GenericError", "desc": "x"}}` + "\n"))
	f.Add([]byte(`{"return":null,"id":18446744073709551615}` + "\n{"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := &Conn{in: bufio.NewReader(bytes.NewReader(stream)), wanted: map[string]bool{"DEVICE_DELETED": true}}
		for range bytes.Count(stream, []byte("\n")) + 1 {
			m, err := c.next()
			if errors.Is(err, ErrProtocol) {
				return
			}
			if err != nil {
				require.ErrorContains(t, err, "QEMU closed")
				return
			}
			require.False(t, m.Event == nil && m.Greeting == nil && m.Return == nil && m.Error == nil)
			require.LessOrEqual(t, len(c.events), maxEvents)
		}
		t.Fatal("more messages than lines")
	})
}

// FuzzAnswer looks for an answer that makes the client panic, or that it takes
// for its own without the right id.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"return": {}, "id": 7}` + "\n"))
	f.Add([]byte(`{"event":"X"}` + "\n" + `{"error": {"class": "GenericError", "desc": "x"}, "id": 7}` + "\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := &Conn{in: bufio.NewReader(bytes.NewReader(stream))}
		if _, err := c.answer("query-x", 7); err == nil {
			require.Contains(t, string(bytes.ToLower(stream)), "7")
		}
	})
}
