// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"strings"
)

// undoStack is what has to be taken back, the last one first.
type undoStack []undoing

type undoing struct {
	what string
	do   func(ctx context.Context) error
}

func (u *undoStack) push(what string, do func(ctx context.Context) error) {
	*u = append(*u, undoing{what: what, do: do})
}

// run takes back one after the other and ends at the first that fails, which
// stays with all below it: a disk that the guest has not released must not be
// taken away from it (design.md).
func (u *undoStack) run(ctx context.Context) error {
	for len(*u) > 0 {
		last := len(*u) - 1
		if err := (*u)[last].do(ctx); err != nil {
			return fmt.Errorf("%s: %w", (*u)[last].what, err)
		}
		*u = (*u)[:last]
	}
	return nil
}

// String lists what remains, in the order in which it will be tried.
func (u undoStack) String() string {
	var whats []string
	for i := len(u) - 1; i >= 0; i-- {
		whats = append(whats, u[i].what)
	}
	return strings.Join(whats, ", ")
}

// rollBack undoes a failed attempt and adds to its error what can't be undone:
// in words only, because what the error is stays what failed first.
func (s *Store) rollBack(a *attempt, failed error) error {
	if err := s.runUndo(a, "undo"); err != nil {
		return fmt.Errorf("%w; %w (%s); the next attempt tries again, delete the pod if this stays", failed, ErrLeftover, err.Error())
	}
	return failed
}

// clearUp undoes what an earlier attempt left behind. As long as that can't be
// done there is no new attempt: the old disk may still be in use.
func (s *Store) clearUp(a *attempt) error {
	if err := s.runUndo(a, "clear up"); err != nil {
		return fmt.Errorf("%w, and it can't be undone now either; delete the pod if this stays: %w", ErrLeftover, err)
	}
	return nil
}

// runUndo goes on when the sandbox ends: that is when it matters.
func (s *Store) runUndo(a *attempt, step string) error {
	if len(s.undo) == 0 {
		return nil
	}
	return a.run(context.WithoutCancel(s.life), step, "undo", s.Timeouts.Undo, s.undo.run)
}
