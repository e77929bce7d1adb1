// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package tomledit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// insert adds a key to a table that is there in whatever form, or to the nearest
// table above it that is. It says what it added.
func (o *outline) insert(path []string, raw, beside string) ([]byte, *Change, error) {
	table, name := path[:len(path)-1], path[len(path)-1]
	line := Key(name) + " = " + raw
	change := &Change{Path: path, After: &raw}
	if k, found := o.find(table); found && len(table) > 0 {
		edited, err := o.insertInline(k, line)
		return edited, change, err
	}
	if sibling, found := o.sibling(table, beside); found {
		return o.insertBehind(sibling, line), change, nil
	}
	if i := slices.IndexFunc(o.headers, func(h header) bool { return !h.array && slices.Equal(h.path, table) }); i >= 0 {
		return o.insertLine(o.headers[i].end, o.indent(o.headers[i].end-1)+"  ", line), change, nil
	}
	if len(table) == 0 {
		return o.insertLine(0, "", line), change, nil
	}
	if o.implied(table) {
		return nil, nil, fmt.Errorf("%w: the table %s has no place of its own", ErrUnsupported, strings.Join(table, "."))
	}
	return o.insert(table, "{ "+line+" }", beside)
}

// sibling is a line of the table to put another one behind: the one that is
// named, or the last one.
func (o *outline) sibling(table []string, beside string) (key, bool) {
	if k, found := o.find(append(slices.Clone(table), beside)); found && !k.inline {
		return k, true
	}
	var last key
	found := false
	for _, k := range o.keys {
		if !k.inline && slices.Equal(k.path[:len(k.path)-1], table) {
			last, found = k, true
		}
	}
	return last, found
}

// implied says whether a table is there only because of what is below it.
func (o *outline) implied(table []string) bool {
	below := func(path []string) bool { return len(path) > len(table) && slices.Equal(path[:len(table)], table) }
	return slices.ContainsFunc(o.headers, func(h header) bool { return below(h.path) }) ||
		slices.ContainsFunc(o.keys, func(k key) bool { return below(k.path) })
}

// insertBehind adds a line behind that of another key, as far in as that, with
// the same first parts of a dotted key.
func (o *outline) insertBehind(k key, line string) []byte {
	return o.insertLine(o.lineEnd(k.end), o.indent(k.start), string(o.text[k.start:k.last])+line)
}

// insertLine adds a line at the start of a line.
func (o *outline) insertLine(at int, indent, line string) []byte {
	line = indent + line
	if at > 0 && o.text[at-1] != '\n' {
		return splice(o.text, at, at, o.newline()+line)
	}
	return splice(o.text, at, at, line+o.newline())
}

// insertInline adds to an inline table { … }.
func (o *outline) insertInline(table key, line string) ([]byte, error) {
	if o.text[table.value] != '{' {
		return nil, fmt.Errorf("%w: %s is no table", ErrUnsupported, strings.Join(table.path, "."))
	}
	last := -1
	for _, k := range o.keys {
		if k.inline && slices.Equal(k.path[:len(table.path)], table.path) && len(k.path) > len(table.path) && k.end < table.end {
			last = max(last, k.end)
		}
	}
	if last < 0 {
		return splice(o.text, table.value, table.end, "{ "+line+" }"), nil
	}
	return splice(o.text, last, last, ", "+line), nil
}

// remove takes a key out: its line where it has one of its own, else itself with
// the comma before it or behind it.
func (o *outline) remove(k key) []byte {
	if k.inline {
		from, to := k.start, k.end
		before := bytes.TrimRight(o.text[:from], " \t\r\n")
		if bytes.HasSuffix(before, []byte(",")) {
			return splice(o.text, len(before)-1, to, "")
		}
		behind := bytes.TrimLeft(o.text[to:], " \t\r\n")
		if bytes.HasPrefix(behind, []byte(",")) {
			to = len(o.text) - len(bytes.TrimLeft(behind[1:], " \t"))
		}
		return splice(o.text, from, to, "")
	}
	from, to := o.lineStart(k.start), o.lineEnd(k.end)
	if to == len(o.text) && from > 0 && !bytes.HasSuffix(o.text, []byte("\n")) {
		// The last line has no end: that of the line before goes instead.
		return splice(o.text, len(bytes.TrimRight(o.text[:from], "\r\n")), to, "")
	}
	return splice(o.text, from, to, "")
}

// Key writes one part of a key, bare where it can be.
func Key(name string) string {
	bare := func(r rune) bool {
		return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_'
	}
	if name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !bare(r) }) {
		return name
	}
	return Quote(name)
}
