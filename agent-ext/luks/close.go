// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// temporary is how cryptsetup calls a mapping that it needs for a moment, with
// its process id behind: luksFormat lets the kernel write dm-integrity's
// superblock so.
const temporary = "temporary-cryptsetup-"

// CheckName makes sure that the names of the volume's mappings are free.
func (v Volume) CheckName() error {
	for _, name := range v.Encryption.Mappings(v.Mapping) {
		_, err := mappingUsers(name)
		switch {
		case errors.Is(err, ErrNoMapping):
		case err != nil:
			return err
		default:
			return fmt.Errorf("%w: %s; delete the pod and create it again, or name another mapping in agent.toml", ErrTaken, filepath.Join(mapper, name))
		}
	}
	return nil
}

// Close takes the mapping away, and with it the key from the kernel; also what
// a cryptsetup that was killed half-way has left: a lower layer alone, or one
// that it needed to format. A mapping that isn't there is a success, one that
// somebody uses is ErrInUse.
func (v Volume) Close(ctx context.Context) error {
	if err := v.closeTop(ctx); err != nil {
		return err
	}
	names := v.Encryption.Mappings(v.Mapping)
	for _, name := range slices.Backward(names[:len(names)-1]) {
		if err := remove(name); err != nil {
			return err
		}
	}
	return v.removeTemporary()
}

// closeTop is cryptsetup's close, which takes the layers below away, too.
func (v Volume) closeTop(ctx context.Context) error {
	if _, err := mappingUsers(v.Mapping); err != nil {
		return ignoreMissing(err)
	}
	err := v.Run.Run(ctx, nil, v.Cryptsetup, "luksClose", v.Mapping)
	if err == nil {
		return nil
	}
	switch users, lookErr := mappingUsers(v.Mapping); {
	case errors.Is(lookErr, ErrNoMapping):
		return nil // closed all the same
	case lookErr != nil:
		return errors.Join(err, lookErr)
	case users > 0:
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	// Nobody uses it, yet cryptsetup can't close it: one without a table.
	if ctx.Err() != nil {
		return err
	}
	if removeErr := remove(v.Mapping); removeErr != nil {
		return errors.Join(err, removeErr)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, ErrNoMapping) {
		return nil
	}
	return err
}

// removeTemporary removes cryptsetup's mappings of a moment that lie on the
// volume's disk. The disk was nobody's when the volume was begun, so they are
// ours; and the cryptsetup that made them has ended.
func (v Volume) removeTemporary() error {
	paths, err := filepath.Glob("/sys/block/dm-*/dm/name")
	if err != nil {
		return err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path) //nolint:gosec // sysfs
		if errors.Is(err, os.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return fmt.Errorf("looking for mappings: %w", err)
		}
		name := strings.TrimSpace(string(text))
		if !strings.HasPrefix(name, temporary) {
			continue
		}
		if err := v.removeIfOurs(name); err != nil {
			return err
		}
	}
	return nil
}

func (v Volume) removeIfOurs(name string) error {
	t, err := readTable(name)
	if err != nil {
		return ignoreMissing(err)
	}
	defer t.wipe()
	if !v.left(t) {
		return nil
	}
	return remove(name)
}

// left says whether the mapping is what a killed luksFormat leaves.
func (v Volume) left(t *liveTable) bool {
	if len(t.targets) != 1 || t.targets[0].kind != "integrity" {
		return false
	}
	fields := strings.Fields(string(t.targets[0].parameters))
	return len(fields) > 0 && fields[0] == v.Number
}
