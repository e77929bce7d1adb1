// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
)

// undo are the ways back, in the order in which things were done.
type undo struct{ steps []undoStep }

type undoStep struct {
	what string
	// back goes back. It succeeds where there is nothing (more) to do.
	back func(ctx context.Context) error
	// again does once more what back took away; nil where that is impossible.
	again func() error
}

// add registers the way back of something as soon as it is done.
func (u *undo) add(what string, back func(ctx context.Context) error) {
	u.steps = append(u.steps, undoStep{what: what, back: back})
}

// addReversible is add for what can be done again.
func (u *undo) addReversible(what string, back func(ctx context.Context) error, again func() error) {
	u.steps = append(u.steps, undoStep{what: what, back: back, again: again})
}

// run goes back, the last step first. It stops at the first failure, because
// each step needs the later ones to be undone, and keeps what is left for
// another try.
func (u *undo) run(ctx context.Context) error {
	for len(u.steps) > 0 {
		last := u.steps[len(u.steps)-1]
		if err := last.back(ctx); err != nil {
			return fmt.Errorf("undoing: %s: %w", last.what, err)
		}
		u.steps = u.steps[:len(u.steps)-1]
	}
	return nil
}

// tryRun goes back entirely or, where a step fails before anything was lost
// for good, not at all: intact says that everything is as it was.
func (u *undo) tryRun(ctx context.Context) (intact bool, err error) {
	all := u.steps
	err = u.run(ctx)
	if err == nil {
		return false, nil
	}
	for i := len(u.steps); i < len(all); i++ {
		if all[i].again == nil {
			return false, err
		}
		if againErr := all[i].again(); againErr != nil {
			return false, errors.Join(err, fmt.Errorf("doing again: %s: %w", all[i].what, againErr))
		}
		u.steps = all[:i+1]
	}
	return true, err
}
