// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package tomledit changes single values in a TOML text and leaves every other
// byte as it was: comments, order, blanks, line ends. Each change says what it
// did, so that it can be taken back later, even if others have changed the rest
// of the text since.
//
// After each change the text is parsed and compared with what was wanted: a form
// of TOML that is not handled right is an error, never a damaged file.
package tomledit

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// ErrUnsupported says that the text has a form that cannot be changed safely.
var ErrUnsupported = errors.New("this form of TOML cannot be edited; edit the file by hand")

// Change is what was done at one key.
type Change struct {
	Path []string `json:"path"`
	// Before and After are values as they are written; nil: no such key.
	Before *string `json:"before"`
	After  *string `json:"after"`
	// Element is the text that was appended to an array of texts; Before and
	// After are not used then.
	Element string `json:"element,omitempty"`
}

// Get gives a value as it is written.
func Get(text []byte, path ...string) (raw string, found bool, err error) {
	o, err := parse(text)
	if err != nil {
		return "", false, err
	}
	k, found := o.find(path)
	if !found {
		return "", false, nil
	}
	return k.raw(text), true, nil
}

// Quote writes a text as a TOML value.
func Quote(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == 0x7f }) {
		return `"` + text + `"`
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

// Set gives the key the value raw (as TOML writes it). A key that is not there
// is added behind its neighbour beside (a key of the same table), where that is
// there. It returns nil when there was nothing to change.
func Set(text []byte, path []string, raw, beside string) ([]byte, *Change, error) {
	o, err := parse(text)
	if err != nil {
		return nil, nil, err
	}
	change := &Change{Path: path, After: &raw}
	var edited []byte
	if k, found := o.find(path); found {
		before := k.raw(text)
		if before == raw {
			return text, nil, nil
		}
		change.Before = &before
		edited = splice(text, k.value, k.end, raw)
	} else if edited, change, err = o.insert(path, raw, beside); err != nil {
		return nil, nil, err
	}
	value, err := decode(raw)
	if err != nil {
		return nil, nil, err
	}
	if err := verify(text, edited, path, value); err != nil {
		return nil, nil, err
	}
	return edited, change, nil
}

// Undo takes a change back. What others have changed at that place since stays.
func Undo(text []byte, c Change) ([]byte, error) {
	if c.Element != "" {
		return removeElement(text, c)
	}
	o, err := parse(text)
	if err != nil {
		return nil, err
	}
	k, found := o.find(c.Path)
	if !found || c.After == nil || k.raw(text) != *c.After {
		return text, nil
	}
	if c.Before == nil {
		edited := o.remove(k)
		return edited, verify(text, edited, c.Path, nil)
	}
	edited := splice(text, k.value, k.end, *c.Before)
	value, err := decode(*c.Before)
	if err != nil {
		return nil, err
	}
	return edited, verify(text, edited, c.Path, value)
}

func splice(text []byte, from, to int, with string) []byte {
	return slices.Concat(text[:from], []byte(with), text[to:])
}

func decode(raw string) (any, error) {
	var all map[string]any
	if err := toml.Unmarshal([]byte("value = "+raw+"\n"), &all); err != nil {
		return nil, fmt.Errorf("the value %q: %w", raw, err)
	}
	return all["value"], nil
}

// verify holds the edited text against the wanted one: the same everywhere but
// at path. A nil value: no such key.
func verify(text, edited []byte, path []string, value any) error {
	var before, after map[string]any
	if err := toml.Unmarshal(text, &before); err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	if err := toml.Unmarshal(edited, &after); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnsupported, strings.Join(path, "."), err)
	}
	if before == nil {
		before = make(map[string]any)
	}
	put(before, path, value)
	if value == nil {
		dropEmpty(before, path)
		dropEmpty(after, path)
	}
	// An empty text decodes to no table at all.
	if len(before) == 0 && len(after) == 0 {
		return nil
	}
	if !reflect.DeepEqual(before, after) {
		return fmt.Errorf("%w: %s", ErrUnsupported, strings.Join(path, "."))
	}
	return nil
}

func put(table map[string]any, path []string, value any) {
	for _, part := range path[:len(path)-1] {
		under, isTable := table[part].(map[string]any)
		if !isTable {
			under = make(map[string]any)
			table[part] = under
		}
		table = under
	}
	if value == nil {
		delete(table, path[len(path)-1])
		return
	}
	table[path[len(path)-1]] = value
}

// dropEmpty removes tables on the way to path that have nothing: a table of
// dotted keys goes with its last key.
func dropEmpty(table map[string]any, path []string) {
	if len(path) == 0 {
		return
	}
	under, isTable := table[path[0]].(map[string]any)
	if !isTable {
		return
	}
	dropEmpty(under, path[1:])
	if len(under) == 0 {
		delete(table, path[0])
	}
}
