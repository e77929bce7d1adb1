// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// disk does single operations on the files of a node. Paths are the node's own,
// without symbolic links.
type disk struct {
	root *os.Root
	// before is asked before each operation that changes something; tests let
	// it fail.
	before func(operation, name string) error
}

// snapshot is a file as it is.
type snapshot struct {
	content  []byte
	mode     fs.FileMode
	uid, gid int
}

func inside(name string) string {
	if name = strings.TrimPrefix(path.Clean(name), "/"); name == "" {
		return "."
	}
	return name
}

// temporary is the name under which a file is written before it gets its own. It
// does not end like a configuration, and is never in a folder config.d, of which
// Kata reads every file.
func temporary(name string) string {
	dir, base := path.Split(name)
	if path.Base(dir) == "config.d" {
		dir, base = path.Dir(path.Clean(dir)), "config.d."+base
	}
	return path.Join(dir, "."+base+".kata-tes-new")
}

// read gives a file, or nil when there is none.
func (d disk) read(name string) (*snapshot, error) {
	info, err := d.root.Lstat(inside(name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, absolute(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: mode %s", name, info.Mode())
	}
	content, err := d.root.ReadFile(inside(name))
	if err != nil {
		return nil, absolute(err)
	}
	s := &snapshot{content: content, mode: info.Mode() & modeBits}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.uid, s.gid = int(stat.Uid), int(stat.Gid)
	}
	return s, nil
}

// modeBits are what chmod sets.
const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// write puts a file in place, whole or not at all.
func (d disk) write(name string, s snapshot) error {
	new := temporary(name)
	if err := d.writeNew(new, s); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", name, err), d.remove(new))
	}
	if err := d.step("rename", name, func() error { return d.root.Rename(inside(new), inside(name)) }); err != nil {
		return errors.Join(fmt.Errorf("putting %s in place: %w", name, err), d.remove(new))
	}
	return d.sync(path.Dir(name))
}

func (d disk) writeNew(name string, s snapshot) (err error) {
	var file *os.File
	err = d.step("create", name, func() error {
		file, err = d.root.OpenFile(inside(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	half := len(s.content) / 2
	if _, err := file.Write(s.content[:half]); err != nil {
		return err
	}
	err = d.step("write", name, func() error {
		_, err := file.Write(s.content[half:])
		return err
	})
	if err != nil {
		return err
	}
	// Owner before mode: a change of owner takes setuid away.
	if err := d.step("chown", name, func() error { return own(file, s) }); err != nil {
		return err
	}
	if err := d.step("chmod", name, func() error { return file.Chmod(s.mode) }); err != nil {
		return err
	}
	return d.step("fsync", name, file.Sync)
}

// own changes the owner where it is another one, so that tests need no root.
func own(file *os.File, s snapshot) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) == s.uid && int(stat.Gid) == s.gid {
		return nil
	}
	return file.Chown(s.uid, s.gid)
}

// remove takes a file away; one that is not there is no error.
func (d disk) remove(name string) error {
	if _, err := d.root.Lstat(inside(name)); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err := d.step("remove", name, func() error { return d.root.Remove(inside(name)) }); err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return d.sync(path.Dir(name))
}

func (d disk) mkdir(name string) error {
	err := d.step("mkdir", name, func() error { return d.root.Mkdir(inside(name), 0o755) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the folder %s: %w", name, err)
	}
	return nil
}

// rmdir takes a folder away, unless it is not there or has something in it.
func (d disk) rmdir(name string) error {
	if info, err := d.root.Lstat(inside(name)); err != nil || !info.IsDir() {
		return nil
	}
	err := d.step("rmdir", name, func() error { return d.root.Remove(inside(name)) })
	if err != nil && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("removing the folder %s: %w", name, err)
	}
	return nil
}

func (d disk) exists(name string) (bool, error) {
	_, err := d.root.Lstat(inside(name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	return err == nil, err
}

// sync makes names in a folder outlast a crash of the machine.
func (d disk) sync(dir string) error {
	return d.step("fsync", dir, func() error {
		folder, err := d.root.Open(inside(dir))
		if err != nil {
			return err
		}
		return errors.Join(folder.Sync(), folder.Close())
	})
}

func (d disk) step(operation, name string, do func() error) error {
	if d.before != nil {
		if err := d.before(operation, name); err != nil {
			return err
		}
	}
	return absolute(do())
}

// absolute gives an error of os.Root the path's first slash back. That of a
// rename has two paths, which its caller knows better.
func absolute(err error) error {
	var link *os.LinkError
	if errors.As(err, &link) {
		return fmt.Errorf("renaming: %w", link.Err)
	}
	var wrong *fs.PathError
	if errors.As(err, &wrong) {
		return &fs.PathError{Op: strings.TrimSuffix(wrong.Op, "at"), Path: path.Clean("/" + wrong.Path), Err: wrong.Err}
	}
	return err
}
