// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
)

// Transaction is changes that are made and may still be taken back.
type Transaction struct {
	j    *Journal
	undo []func() error
	// last is the record for when all is done.
	last *record
	// nothing says that there was nothing to do.
	nothing bool
}

// Begin makes the changes that lead to want and leaves the record open, for
// Commit or Rollback. On an error everything is as it was before the call.
// info is kept in the record.
func (j *Journal) Begin(want []File, info any) (*Transaction, error) {
	changes, err := j.Changes(want)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(info)
	if err != nil {
		return nil, err
	}
	t := &Transaction{j: j}
	open, err := t.plan(want, changes, raw)
	if err != nil {
		return nil, err
	}
	if t.nothing = len(changes) == 0 && j.recorded.equal(t.last); t.nothing {
		return t, j.clean()
	}
	steps := []func() error{
		j.clean,
		func() error { return t.record(open) },
		func() error { return t.makeFolders() },
		func() error { return t.change(changes) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			if undoing := t.Rollback(); undoing != nil {
				return nil, fmt.Errorf("%w; taking back what had been done failed too: %w; what was there before is recorded in %s: run the command again, or 'kata-tes uninstall'", err, undoing, Folder)
			}
			return nil, err
		}
	}
	return t, nil
}

// clean removes half-written files that a crash has left.
func (j *Journal) clean() error {
	names := []string{recordFile}
	if j.recorded != nil {
		for _, e := range j.recorded.Files {
			names = append(names, e.Path)
		}
	}
	for _, name := range names {
		if err := j.disk.remove(temporary(name)); err != nil {
			return err
		}
	}
	return nil
}

// record writes down what is going to be done.
func (t *Transaction) record(open *record) error {
	earlier := t.j.recorded
	t.undo = append(t.undo, func() error { return t.restoreRecord(earlier) })
	t.j.recorded = open
	missing, err := t.j.missingFolders(path.Join(beforeFolder, "any"))
	if err != nil {
		return err
	}
	for _, dir := range missing {
		if err := t.j.disk.mkdir(dir); err != nil {
			return err
		}
	}
	for _, e := range open.Files {
		before, err := t.j.baseOf(e.Path)
		if err != nil {
			return err
		}
		if before != nil {
			if err := t.j.disk.writeSaved(before.content); err != nil {
				return err
			}
		}
	}
	return t.j.disk.writeRecord(open)
}

// plan makes the record of the time in between, which has the files of the old
// installation and of the new one, and t.last, that of the end.
func (t *Transaction) plan(want []File, changes []Change, info json.RawMessage) (*record, error) {
	open := &record{Format: formatNow, Info: info}
	t.last = &record{Format: formatNow, Done: true, Info: info}
	earlier := t.j.recorded
	if earlier == nil {
		earlier = &record{}
	}
	open.Folders = slices.Clone(earlier.Folders)
	// /var/lib may be missing in a strange node; it is then ours as well.
	for _, name := range append([]string{Folder}, paths(changes)...) {
		missing, err := t.j.missingFolders(name)
		if err != nil {
			return nil, err
		}
		for _, dir := range missing {
			if !slices.Contains(open.Folders, dir) {
				open.Folders = append(open.Folders, dir)
			}
		}
	}
	t.last.Folders = open.Folders
	for _, file := range want {
		before, err := t.j.baseOf(file.Path)
		if err != nil {
			return nil, err
		}
		e := entry{Path: file.Path, Before: save(before), Ours: []string{sum(file.Content)}, Edits: file.Edits}
		t.last.Files = append(t.last.Files, e)
		if i := slices.IndexFunc(earlier.Files, func(o entry) bool { return o.Path == file.Path }); i >= 0 {
			e.Ours = append(slices.Clone(e.Ours), earlier.Files[i].Ours...)
			// The file may have either. Undone is the last one first, and what is
			// not there is no matter.
			e.Edits = append(slices.Clone(earlier.Files[i].Edits), e.Edits...)
		}
		open.Files = append(open.Files, e)
	}
	for _, e := range earlier.Files {
		if slices.ContainsFunc(want, func(f File) bool { return f.Path == e.Path }) {
			continue
		}
		e.Before = save(t.j.base[e.Path])
		open.Files = append(open.Files, e)
	}
	return open, nil
}

func paths(changes []Change) []string {
	var all []string
	for _, c := range changes {
		if c.to != nil {
			all = append(all, c.Path)
		}
	}
	return all
}

func (t *Transaction) restoreRecord(earlier *record) error {
	if earlier == nil {
		return t.j.Forget()
	}
	t.j.recorded, t.j.base = earlier, nil
	return errors.Join(t.j.disk.writeRecord(earlier), t.j.sweep(earlier))
}

func (t *Transaction) makeFolders() error {
	for _, dir := range t.last.Folders {
		there, err := t.j.disk.exists(dir)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		t.undo = append(t.undo, func() error { return t.j.disk.rmdir(dir) })
		if err := t.j.disk.mkdir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (t *Transaction) change(changes []Change) error {
	for _, c := range changes {
		t.undo = append(t.undo, func() error { return t.putBack(c) })
		if err := t.j.disk.put(c.Path, c.to); err != nil {
			return err
		}
	}
	return nil
}

// putBack leaves alone what is as it was: the change that failed, say, because
// nobody may write there.
func (t *Transaction) putBack(c Change) error {
	now, err := t.j.disk.read(c.Path)
	if err != nil || compare(c.Path, now, c.from) == nil {
		return err
	}
	return t.j.disk.put(c.Path, c.from)
}

func (d disk) put(name string, s *snapshot) error {
	if s == nil {
		return d.remove(name)
	}
	return d.write(name, *s)
}

// Rollback puts back what was there before Begin. The record goes last, and only
// if all else worked: otherwise it can be tried again.
func (t *Transaction) Rollback() error {
	var errs []error
	for i, undo := range slices.Backward(t.undo) {
		if i == 0 && len(errs) > 0 {
			break
		}
		errs = append(errs, undo())
		errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	}
	return errors.Join(errs...)
}

// Commit closes the record: Rollback is not possible any more. Where nothing of
// ours is left, the record goes too. info takes the place of what Begin was given.
func (t *Transaction) Commit(info any) error {
	raw, err := json.Marshal(info)
	if err != nil {
		return err
	}
	t.undo = nil
	t.last.Info = raw
	if t.nothing && t.j.recorded.equal(t.last) {
		return nil
	}
	if err := t.j.dropFolders(t.last); err != nil {
		return err
	}
	if len(t.last.Files) == 0 {
		return t.j.Forget()
	}
	if err := t.j.disk.writeRecord(t.last); err != nil {
		return err
	}
	t.j.recorded, t.j.base = t.last, nil
	return t.j.sweep(t.last)
}
