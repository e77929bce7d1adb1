// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package tomledit

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// outline is where in a text everything is. Offsets are in bytes.
type outline struct {
	text    []byte
	headers []header
	keys    []key
}

// header is a line [a.b] (the root table has none).
type header struct {
	path []string
	// end is behind the header's line, its line end included.
	end int
	// array marks [[a.b]], whose keys have no path that is one place.
	array bool
}

// key is a key with its value, in a line of its own or in an inline table.
type key struct {
	path []string
	// start of the key; last is the start of the last part of a dotted key.
	start, last int
	// value and end bound the value.
	value, end int
	// header is the index of the header above; -1 for the root table.
	header int
	inline bool
}

// parse outlines a text. The decoder has a look first, since it alone knows that
// nothing is defined twice.
func parse(text []byte) (*outline, error) {
	var all map[string]any
	if err := toml.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("parsing: %w", err)
	}
	o := &outline{text: text}
	var parser unstable.Parser
	parser.Reset(text)
	under := header{}
	for parser.NextExpression() {
		switch node := parser.Expression(); node.Kind {
		case unstable.Table, unstable.ArrayTable:
			parts := keyParts(node)
			// The header's own node has no range, but its last key has.
			behind := int(parts[len(parts)-1].Raw.Offset + parts[len(parts)-1].Raw.Length)
			under = header{path: names(parts), end: o.lineEnd(behind), array: node.Kind == unstable.ArrayTable}
			o.headers = append(o.headers, under)
		case unstable.KeyValue:
			if !o.underArray(under.path) {
				o.add(node, under.path, false)
			}
		}
	}
	if err := parser.Error(); err != nil {
		return nil, fmt.Errorf("parsing: %w", err)
	}
	return o, nil
}

// underArray says whether a table is an element of an array of tables.
func (o *outline) underArray(path []string) bool {
	return slices.ContainsFunc(o.headers, func(h header) bool {
		return h.array && len(h.path) <= len(path) && slices.Equal(h.path, path[:len(h.path)])
	})
}

func (o *outline) add(node *unstable.Node, table []string, inline bool) {
	parts := keyParts(node)
	last := parts[len(parts)-1].Raw
	k := key{
		path:   slices.Concat(table, names(parts)),
		start:  int(parts[0].Raw.Offset),
		last:   int(last.Offset),
		end:    int(node.Raw.Offset + node.Raw.Length),
		header: len(o.headers) - 1,
		inline: inline,
	}
	equals := int(last.Offset+last.Length) + bytes.IndexByte(o.text[last.Offset+last.Length:], '=')
	k.value = equals + 1 + len(o.text[equals+1:]) - len(bytes.TrimLeft(o.text[equals+1:], " \t"))
	o.keys = append(o.keys, k)
	if node.Value().Kind != unstable.InlineTable {
		return
	}
	for children := node.Value().Children(); children.Next(); {
		if child := children.Node(); child.Kind == unstable.KeyValue {
			o.add(child, k.path, true)
		}
	}
}

func keyParts(node *unstable.Node) []*unstable.Node {
	var parts []*unstable.Node
	for keys := node.Key(); keys.Next(); {
		parts = append(parts, keys.Node())
	}
	return parts
}

func names(parts []*unstable.Node) []string {
	path := make([]string, len(parts))
	for i, part := range parts {
		path[i] = string(part.Data)
	}
	return path
}

// find gives the key by its whole path.
func (o *outline) find(path []string) (key, bool) {
	i := slices.IndexFunc(o.keys, func(k key) bool { return slices.Equal(k.path, path) })
	if i < 0 {
		return key{}, false
	}
	return o.keys[i], true
}

func (k key) raw(text []byte) string { return string(text[k.value:k.end]) }

// lineEnd is the offset behind the line in which at is, its line end included.
func (o *outline) lineEnd(at int) int {
	if i := bytes.IndexByte(o.text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(o.text)
}

// lineStart is the offset of the line in which at is.
func (o *outline) lineStart(at int) int {
	return bytes.LastIndexByte(o.text[:at], '\n') + 1
}

// indent is the blanks before at in its line.
func (o *outline) indent(at int) string {
	line := o.text[o.lineStart(at):at]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// newline is the text's own line end.
func (o *outline) newline() string {
	if bytes.Contains(o.text, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}
