// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
	"golang.org/x/sys/unix"
)

// ErrBusy says that another process is at it.
var ErrBusy = errors.New("another kata-tes is changing this node")

// Journal is the record of a node, held by this process alone until Close.
type Journal struct {
	disk disk
	tree *node.Tree
	lock *os.File
	// recorded is nil when nothing is installed.
	recorded *record
	// base is what there was before each file that is recorded; nil until that
	// has been looked at.
	base map[string]*snapshot
}

// Open reads the record of a node and locks it.
func Open(tree *node.Tree) (*Journal, error) {
	j := &Journal{disk: disk{root: tree.Root()}, tree: tree}
	if err := j.open(); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return j, nil
}

func (j *Journal) open() error {
	// The lock is on a folder that is always there and stays, so that it leaves
	// no trace and cannot be removed under somebody who waits for it.
	var err error
	if j.lock, err = j.tree.Root().Open("."); err != nil {
		return fmt.Errorf("locking the node: %w", err)
	}
	if err := unix.Flock(int(j.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("%w; wait for it to end", ErrBusy)
		}
		return fmt.Errorf("locking the node: %w", err)
	}
	j.recorded, err = j.disk.readRecord()
	return err
}

// Intercept has ask called before each operation that changes something; its
// error is the operation's. For tests of what a crash leaves.
func (j *Journal) Intercept(ask func(operation, name string) error) { j.disk.before = ask }

// Close lets others in.
func (j *Journal) Close() error {
	if j.lock == nil {
		return nil
	}
	return j.lock.Close()
}

// Look reads the record without locking the node, to tell what it says: nothing
// may be changed by it.
func Look(tree *node.Tree) (*Journal, error) {
	j := &Journal{disk: disk{root: tree.Root()}, tree: tree}
	var err error
	j.recorded, err = j.disk.readRecord()
	return j, err
}

// Info gives the caller's part of the record. False when nothing is recorded.
func (j *Journal) Info(info any) (bool, error) {
	if j.recorded == nil {
		return false, nil
	}
	if len(j.recorded.Info) == 0 {
		return true, nil
	}
	if err := json.Unmarshal(j.recorded.Info, info); err != nil {
		return true, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return true, nil
}

// CutOff says that the last change was not finished.
func (j *Journal) CutOff() bool { return j.recorded != nil && !j.recorded.Done }

// File is what a path is to hold.
type File struct {
	// Path has no symbolic links (Tree.Resolve).
	Path    string
	Content []byte
	// Mode is for a file that is new, or ours whole; edited files keep theirs.
	Mode fs.FileMode
	// Edits are set where the rest of the file belongs to somebody else.
	Edits []Edit
}

// Action is what happens to a file.
type Action string

// The actions.
const (
	Create  Action = "create"
	Replace Action = "replace"
	Remove  Action = "remove"
)

// Change is one file that changes.
type Change struct {
	Path   string
	Action Action
	// From and To are the contents before and after; nil: no file.
	From, To []byte
	from, to *snapshot
}

// Changes are what has to be done so that the files of want hold what they
// should, and all others that are recorded what they held before.
func (j *Journal) Changes(want []File) ([]Change, error) {
	if j.base == nil {
		if _, _, err := j.Before(); err != nil {
			return nil, err
		}
	}
	var changes []Change
	add := func(name string, to *snapshot) error {
		from, err := j.disk.read(name)
		if err != nil {
			return err
		}
		if change := compare(name, from, to); change != nil {
			changes = append(changes, *change)
		}
		return nil
	}
	wanted := make(map[string]bool, len(want))
	for _, file := range want {
		wanted[file.Path] = true
		to, err := j.target(file)
		if err != nil {
			return nil, err
		}
		if err := add(file.Path, to); err != nil {
			return nil, err
		}
	}
	if j.recorded == nil {
		return changes, nil
	}
	// In the other direction than they came: what names a program goes before
	// the program.
	for _, e := range slices.Backward(j.recorded.Files) {
		if wanted[e.Path] {
			continue
		}
		before, known := j.base[e.Path]
		if !known {
			return nil, fmt.Errorf("%w: what %s was before is not known", ErrRecord, e.Path)
		}
		if err := add(e.Path, before); err != nil {
			return nil, err
		}
	}
	return changes, nil
}

// target is a wanted file with mode and owner.
func (j *Journal) target(file File) (*snapshot, error) {
	to := &snapshot{content: file.Content, mode: file.Mode, uid: os.Geteuid(), gid: os.Getegid()}
	if len(file.Edits) == 0 {
		return to, nil
	}
	before, err := j.baseOf(file.Path)
	if before != nil {
		to.mode, to.uid, to.gid = before.mode, before.uid, before.gid
	}
	return to, err
}

// baseOf is a file as it was before us.
func (j *Journal) baseOf(name string) (*snapshot, error) {
	if before, known := j.base[name]; known {
		return before, nil
	}
	return j.disk.read(name)
}

func compare(name string, from, to *snapshot) *Change {
	c := &Change{Path: name, Action: Replace, from: from, to: to}
	if from != nil {
		c.From = nonNil(from.content)
	}
	if to != nil {
		c.To = nonNil(to.content)
	}
	switch {
	case from == nil && to == nil:
		return nil
	case from == nil:
		c.Action = Create
	case to == nil:
		c.Action = Remove
	case string(from.content) == string(to.content) && from.mode == to.mode && from.uid == to.uid && from.gid == to.gid:
		return nil
	}
	return c
}

// missingFolders are those that have to be made for a file, parents first.
func (j *Journal) missingFolders(name string) ([]string, error) {
	var missing []string
	for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
		there, err := j.disk.exists(dir)
		if err != nil {
			return nil, err
		}
		if there {
			break
		}
		missing = append(missing, dir)
	}
	slices.Reverse(missing)
	return missing, nil
}
