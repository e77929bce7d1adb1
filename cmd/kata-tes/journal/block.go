// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"slices"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/tomledit"
)

// Block is lines from Begin to End (whole lines, both included) that are ours.
type Block struct {
	Begin string `json:"begin"`
	End   string `json:"end"`
}

// Append adds lines as a block at the end of a text.
func (b Block) Append(text []byte, lines string) []byte {
	text = slices.Clone(text)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(text, '\n')
	}
	return append(text, b.Begin+"\n"+lines+b.End+"\n"...)
}

// remove takes the block out; what is around it stays.
func (b Block) remove(text []byte) []byte {
	var kept []byte
	within := false
	for line := range bytes.Lines(text) {
		switch bare := string(bytes.TrimRight(line, "\r\n")); {
		case bare == b.Begin:
			within = true
		case !within:
			kept = append(kept, line...)
		case bare == b.End:
			within = false
		}
	}
	if within {
		// Without its end nobody knows what is ours.
		return text
	}
	return kept
}

// undo takes edits back, the last one first.
func undo(text []byte, edits []Edit) ([]byte, error) {
	for _, e := range slices.Backward(edits) {
		if e.Block != nil {
			text = e.Block.remove(text)
		}
		if e.Value != nil {
			var err error
			if text, err = tomledit.Undo(text, *e.Value); err != nil {
				return nil, err
			}
		}
	}
	return text, nil
}
