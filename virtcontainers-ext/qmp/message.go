// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"encoding/json"
	"fmt"
)

// Event is what QEMU says unasked.
type Event struct {
	Name string
	// Data is the event's own object, unparsed; empty where it has none.
	Data json.RawMessage
}

// message is one line from QEMU: a greeting, an event or an answer.
type message struct {
	Greeting json.RawMessage `json:"QMP"`
	Event    *string         `json:"event"`
	Data     json.RawMessage `json:"data"`
	Return   json.RawMessage `json:"return"`
	Error    *wireError      `json:"error"`
	ID       *uint64         `json:"id"`
}

type wireError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

// parse takes a line apart and makes sure that it is exactly one of the three
// kinds: whoever dispatches on a field need not think of the others.
func parse(line []byte) (message, error) {
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return message{}, fmt.Errorf("%w: %.100q: %w", ErrProtocol, line, err)
	}
	kinds := 0
	for _, is := range []bool{m.Greeting != nil, m.Event != nil, m.Return != nil || m.Error != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 || (m.Return != nil && m.Error != nil) {
		return message{}, fmt.Errorf("%w: neither a greeting nor an event nor an answer: %.100q", ErrProtocol, line)
	}
	return m, nil
}

// command is one line to QEMU.
type command struct {
	Execute   string `json:"execute"`
	Arguments any    `json:"arguments,omitempty"`
	ID        uint64 `json:"id"`
}
