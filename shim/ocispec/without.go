// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ocispec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/tidwall/sjson"
)

// ErrNotExact says that config.json could not be cut so that nothing but the
// store is missing.
var ErrNotExact = errors.New("the trusted store could not be taken out of config.json alone")

// Without is config.json without the store's device and its own cgroup rule,
// and otherwise the same bytes. That nothing else changed is verified: a cut
// that went wrong is ErrNotExact.
func (s *Spec) Without(store *Store) ([]byte, error) {
	cut, err := sjson.DeleteBytes(s.raw, "linux.devices."+strconv.Itoa(store.entry))
	// Backwards, so that the places of the remaining rules stay.
	for _, rule := range slices.Backward(store.rules) {
		if err != nil {
			break
		}
		cut, err = sjson.DeleteBytes(cut, "linux.resources.devices."+strconv.Itoa(rule))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s (look for what changes it after containerd, such as an NRI plugin): %w", ErrNotExact, s.path, err)
	}
	if err := s.verify(cut, store); err != nil {
		return nil, fmt.Errorf("%w: %s (look for what changes it after containerd, such as an NRI plugin): %w", ErrNotExact, s.path, err)
	}
	return cut, nil
}

// verify compares by a second way: decoded completely, with the entries taken
// out of the decoded original.
func (s *Spec) verify(cut []byte, store *Store) error {
	want, err := decode(s.raw)
	if err != nil {
		return err
	}
	if err := remove(want, []int{store.entry}, "linux", "devices"); err != nil {
		return err
	}
	if err := remove(want, store.rules, "linux", "resources", "devices"); err != nil {
		return err
	}
	got, err := decode(cut)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(got, want) {
		return errors.New("something else would change; its keys may be duplicated")
	}
	return s.verifyGone(cut, store)
}

// verifyGone looks at the result as the runtime will.
func (s *Spec) verifyGone(cut []byte, store *Store) error {
	after, err := parse(s.path, cut)
	if err != nil {
		return err
	}
	switch rest, err := after.Store(store.Path); {
	case err != nil:
		return err
	case rest != nil:
		return fmt.Errorf("%s would still be there", store.Path)
	}
	return nil
}

// decode keeps numbers as they are written.
func decode(raw []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var tree map[string]any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	return tree, nil
}

// remove takes places out of the list at the end of keys.
func remove(tree map[string]any, places []int, keys ...string) error {
	if len(places) == 0 {
		return nil
	}
	last := len(keys) - 1
	for _, key := range keys[:last] {
		next, ok := tree[key].(map[string]any)
		if !ok {
			return fmt.Errorf("%s is not an object", key)
		}
		tree = next
	}
	list, ok := tree[keys[last]].([]any)
	if !ok {
		return fmt.Errorf("%s is not a list", keys[last])
	}
	for _, place := range slices.Backward(places) {
		if place >= len(list) {
			return fmt.Errorf("%s has no entry %d", keys[last], place)
		}
		list = slices.Delete(list, place, place+1)
	}
	tree[keys[last]] = list
	return nil
}
