// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

var (
	// ErrUnknown says that no sandbox of this node is meant.
	ErrUnknown = errors.New("no pod and no sandbox of this node that runs behind kata-tes")
	// ErrAmbiguous says that several are.
	ErrAmbiguous = errors.New("more than one is meant")
)

// Choose picks the rows that a person means by namespace/name, a pod's name, a
// sandbox's id or the beginning of one, in this order. A pod may have several
// sandboxes for a moment, while it is made again.
func Choose(rows []Row, meant string) ([]Row, error) {
	for _, matches := range []func(Row) bool{
		func(r Row) bool { return r.Name() == meant },
		func(r Row) bool { return r.Pod == meant },
		func(r Row) bool { return r.Sandbox == meant },
		func(r Row) bool { return strings.HasPrefix(r.Sandbox, meant) },
	} {
		var found []Row
		for _, row := range rows {
			if meant != "" && matches(row) {
				found = append(found, row)
			}
		}
		if len(found) > 0 {
			return found, checkOne(found, meant)
		}
	}
	return nil, unknown(rows, meant)
}

// checkOne makes sure that all rows are one pod's, or one sandbox.
func checkOne(found []Row, meant string) error {
	var names []string
	for _, row := range found {
		name := row.Name()
		if name == "" || strings.HasPrefix(row.Sandbox, meant) {
			name = row.Sandbox
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 1 {
		return nil
	}
	return fmt.Errorf("%w by %.100q: %s; say which", ErrAmbiguous, meant, strings.Join(names, ", "))
}

func unknown(rows []Row, meant string) error {
	nameless := 0
	for _, row := range rows {
		if row.Pod == "" {
			nameless++
		}
	}
	err := fmt.Errorf("%.100q: %w; see 'kata-tes status' for all", meant, ErrUnknown)
	if nameless > 0 {
		err = fmt.Errorf("%w (of %d nobody knows the pod: use the sandbox's id)", err, nameless)
	}
	return err
}
