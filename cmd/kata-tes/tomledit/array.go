// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package tomledit

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Append adds a text to an array of texts, or makes the array, behind the key
// beside. It returns nil when the array has it already.
func Append(text []byte, path []string, element, beside string) ([]byte, *Change, error) {
	o, err := parse(text)
	if err != nil {
		return nil, nil, err
	}
	k, found := o.find(path)
	if !found {
		edited, change, err := Set(text, path, "["+Quote(element)+"]", beside)
		if err == nil {
			change = &Change{Path: path, Element: element}
		}
		return edited, change, err
	}
	elements, err := o.elements(k)
	if err != nil {
		return nil, nil, err
	}
	var values []any
	for _, e := range elements {
		if e.text == element {
			return text, nil, nil
		}
		values = append(values, e.text)
	}
	edited := splice(text, k.value, k.end, "["+Quote(element)+"]")
	if len(elements) > 0 {
		last := elements[len(elements)-1].end
		edited = splice(text, last, last, ", "+Quote(element))
	}
	if err := verify(text, edited, path, append(values, element)); err != nil {
		return nil, nil, err
	}
	return edited, &Change{Path: path, Element: element}, nil
}

// removeElement takes back what Append did, the array with it where nothing else
// is left.
func removeElement(text []byte, c Change) ([]byte, error) {
	o, err := parse(text)
	if err != nil {
		return nil, err
	}
	k, found := o.find(c.Path)
	if !found {
		return text, nil
	}
	elements, err := o.elements(k)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(elements, func(e element) bool { return e.text == c.Element })
	switch {
	case at < 0:
		return text, nil
	case len(elements) == 1:
		edited := o.remove(k)
		return edited, verify(text, edited, c.Path, nil)
	}
	from, to := elements[at].start, elements[at].end
	if at > 0 {
		from = elements[at-1].end
	} else {
		to = elements[1].start
	}
	edited := splice(text, from, to, "")
	var values []any
	for i, e := range elements {
		if i != at {
			values = append(values, e.text)
		}
	}
	return edited, verify(text, edited, c.Path, values)
}

// element of an array of texts, with its quotes.
type element struct {
	start, end int
	text       string
}

func (o *outline) elements(k key) ([]element, error) {
	// Parsed by itself: the outline keeps no nodes.
	raw := append([]byte("value = "), o.text[k.value:k.end]...)
	shift := k.value - len("value = ")
	var parser unstable.Parser
	parser.Reset(raw)
	if !parser.NextExpression() || parser.Expression().Value().Kind != unstable.Array {
		return nil, fmt.Errorf("%w: %s is no array", ErrUnsupported, bytes.TrimSpace(o.text[k.start:k.end]))
	}
	var all []element
	for children := parser.Expression().Value().Children(); children.Next(); {
		node := children.Node()
		if node.Kind != unstable.String {
			return nil, fmt.Errorf("%w: an array with something else than texts: %s", ErrUnsupported, bytes.TrimSpace(o.text[k.start:k.end]))
		}
		start := shift + int(node.Raw.Offset)
		all = append(all, element{start: start, end: start + int(node.Raw.Length), text: string(node.Data)})
	}
	return all, nil
}
