// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"fmt"
	"slices"
	"strings"
)

// Conflict is a file that somebody else has changed since.
type Conflict struct {
	Path string
	// Ours says that the whole file is ours, so that nothing of what the other
	// one did can be kept.
	Ours bool
}

// Before gives the files as they were before the first change, for Tree.With.
// In files of others that have been changed since, our edits are taken back and
// the rest is kept; in files of ours it is what was there before.
func (j *Journal) Before() (map[string][]byte, []Conflict, error) {
	j.base = make(map[string]*snapshot)
	files := make(map[string][]byte)
	var conflicts []Conflict
	if j.recorded == nil {
		return files, nil, nil
	}
	for _, e := range j.recorded.Files {
		before, conflict, err := j.before(e)
		if err != nil {
			return nil, nil, err
		}
		if conflict != nil {
			conflicts = append(conflicts, *conflict)
		}
		j.base[e.Path] = before
		files[e.Path] = nil
		if before != nil {
			files[e.Path] = nonNil(before.content)
		}
	}
	return files, conflicts, nil
}

// nonNil because nil means: no such file.
func nonNil(content []byte) []byte {
	if content == nil {
		return []byte{}
	}
	return content
}

func (j *Journal) before(e entry) (*snapshot, *Conflict, error) {
	now, err := j.disk.read(e.Path)
	if err != nil {
		return nil, nil, err
	}
	// A file that somebody removed is not to come back.
	if now == nil {
		return nil, nil, nil
	}
	hash := sum(now.content)
	if e.Before != nil && e.Before.SHA256 == hash {
		return &snapshot{content: now.content, mode: e.Before.Mode, uid: e.Before.UID, gid: e.Before.GID}, nil, nil
	}
	before, err := j.disk.readSaved(e.Before)
	if err != nil {
		return nil, nil, err
	}
	if slices.Contains(e.Ours, hash) {
		return before, nil, nil
	}
	if len(e.Edits) == 0 {
		return before, &Conflict{Path: e.Path, Ours: true}, nil
	}
	text, err := undo(now.content, e.Edits)
	if err != nil {
		return nil, nil, fmt.Errorf("taking our lines out of %s: %w", e.Path, err)
	}
	if string(text) == string(now.content) {
		// Somebody has taken our lines out already.
		return now, nil, nil
	}
	if before == nil && len(strings.TrimSpace(string(text))) == 0 {
		return nil, &Conflict{Path: e.Path}, nil
	}
	return &snapshot{content: text, mode: now.mode, uid: now.uid, gid: now.gid}, &Conflict{Path: e.Path}, nil
}
