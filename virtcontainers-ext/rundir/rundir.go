// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package rundir is the folder of a sandbox, /run/kata-tes/<sandbox id>: what
// `start` leaves there for the processes that come after it (docs/architecture.md).
//
// The folder is also the switch of the whole thing: kata-tes-qemu adds our
// monitor to a virtual machine only where the folder exists, so that pods of
// other runtimes get the real QEMU untouched. What the files mean to whoever
// reads them is left to the readers.
package rundir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

// Root is where the folders of all sandboxes are.
const Root = "/run/kata-tes"

const (
	monitorFile = "monitor.sock"
	statusFile  = "status.sock"

	// maxSocketPath is what fits sun_path with its terminating zero (unix(7)).
	maxSocketPath = 107
	// maxID is containerd's own limit for an identifier.
	maxID = 76

	// rootMode lets others pass through to the metrics, without seeing the
	// sandboxes' ids. What is in a sandbox's folder stays ours.
	rootMode = 0o711
	dirMode  = 0o700
	fileMode = 0o600
)

var (
	// ErrNotFound says that the sandbox has no folder: our shim did not start it.
	ErrNotFound = fmt.Errorf("the sandbox was not started by kata-tes: %w", fs.ErrNotExist)
	// ErrBadID says that a sandbox id is not one that containerd would accept.
	ErrBadID = errors.New("not a sandbox id")
)

// identifier is containerd's rule for ids. It has neither '/' nor a leading
// dot, so an id that matches is one plain path component.
var identifier = regexp.MustCompile(`^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$`)

// ValidateID refuses an id that could name anything but a folder of its own.
func ValidateID(id string) error {
	if len(id) > maxID || !identifier.MatchString(id) {
		return fmt.Errorf("%w: %.100q (letters and digits, joined by single '.', '_' or '-', %d at most)", ErrBadID, id, maxID)
	}
	return nil
}

// MonitorPath is where QEMU listens with our monitor. It has no say on whether
// the id is valid: Create and Load have.
func MonitorPath(root, id string) string {
	return filepath.Join(root, id, monitorFile)
}

// StatusPath is where the serving process answers whoever asks what state the
// sandbox's store is in. Nobody has a say on the id here either.
func StatusPath(root, id string) string {
	return filepath.Join(root, id, statusFile)
}

// List gives the ids of the sandboxes that have a folder, in order. A root that
// is not there has none.
func List(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the sandboxes below %s: %w", root, err)
	}
	var ids []string
	for _, entry := range entries {
		if entry.IsDir() && ValidateID(entry.Name()) == nil {
			ids = append(ids, entry.Name())
		}
	}
	return ids, nil
}

// Create makes the folder of a sandbox and describes the sandbox in it. Done a
// second time, it replaces the description and leaves the rest alone.
func Create(root, id string, s Sandbox) error {
	if err := ValidateID(id); err != nil {
		return fmt.Errorf("creating a folder below %s: %w", root, err)
	}
	if path := MonitorPath(root, id); len(path) > maxSocketPath {
		return fmt.Errorf("creating the folder of sandbox %s: %s is longer than the %d bytes that a socket's path may have", id, path, maxSocketPath)
	}
	if err := os.Mkdir(root, rootMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("creating %s: %w", root, err)
	}
	r, err := openPrivate(root)
	if err != nil {
		return err
	}
	defer closeRoot(r)

	err = r.Mkdir(id, dirMode)
	created := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("creating the folder of sandbox %s: %w", id, err)
	}
	if err := describe(root, id, s); err != nil {
		if created {
			err = errors.Join(err, r.RemoveAll(id))
		}
		return fmt.Errorf("describing sandbox %s: %w", id, err)
	}
	return nil
}

// Load reads the description that Create wrote. Its error is ErrNotFound where
// there is none.
func Load(root, id string) (Sandbox, error) {
	if err := ValidateID(id); err != nil {
		return Sandbox{}, fmt.Errorf("looking below %s: %w", root, err)
	}
	s, err := load(root, id)
	if errors.Is(err, fs.ErrNotExist) {
		return Sandbox{}, fmt.Errorf("sandbox %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Sandbox{}, fmt.Errorf("reading the description of sandbox %s: %w", id, err)
	}
	return s, nil
}

// Remove takes the folder away with all that is in it. A folder that is not
// there is a success.
func Remove(root, id string) error {
	if err := ValidateID(id); err != nil {
		return fmt.Errorf("removing a folder below %s: %w", root, err)
	}
	r, err := openPrivate(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closeRoot(r)
	if err := r.RemoveAll(id); err != nil {
		return fmt.Errorf("removing the folder of sandbox %s: %w", id, err)
	}
	return nil
}

// openPrivate opens a folder into which nobody else can put anything: no
// symbolic link, ours, and not writable by others. Whoever could write here
// could make kata-tes-qemu execute another hypervisor.
func openPrivate(dir string) (*os.Root, error) {
	before, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	if !before.IsDir() {
		return nil, fmt.Errorf("opening %s: it is not a folder (%s); remove it", dir, before.Mode().Type())
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", dir, err)
	}
	now, err := r.Stat(".")
	if err == nil {
		err = private(dir, before, now)
	}
	if err != nil {
		closeRoot(r)
		return nil, err
	}
	return r, nil
}

func private(dir string, before, now fs.FileInfo) error {
	if !os.SameFile(before, now) {
		return fmt.Errorf("opening %s: it was replaced meanwhile", dir)
	}
	if now.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("opening %s: others may write to it (mode %#o); run chmod 0700 on it", dir, now.Mode().Perm())
	}
	if st, ok := now.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("opening %s: it belongs to user %d; remove it or give it to user %d", dir, st.Uid, os.Geteuid())
	}
	return nil
}

// closeRoot closes a folder that was only walked through: nothing was written
// by the descriptor, so that its close has nothing to report.
func closeRoot(r *os.Root) { _ = r.Close() }
