// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// recordFile is a file of ours in each container's bundle. `delete` gets
// neither runtime options nor any other hint at which inner shim is behind us,
// and on a container that shares its sandbox's process there is no run folder.
const recordFile = "kata-tes.json"

// record is what `start` tells `delete` about a container.
type record struct {
	InnerShim string `json:"inner_shim"`
	// Inner and Outer are the addresses of the inner shim and of our serving
	// process; empty until the inner shim has started.
	Inner string `json:"inner,omitempty"`
	Outer string `json:"outer,omitempty"`
	// Sandbox is true for the container whose `start` made the processes.
	Sandbox bool `json:"sandbox,omitempty"`
	// Sockets are the files to remove with the sandbox.
	Sockets []*socketFile `json:"sockets,omitempty"`
}

func (r record) write(bundle string) error {
	content, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", recordFile, err)
	}
	return replaceFile(filepath.Join(bundle, recordFile), content)
}

// readRecord gives an empty record where there is none.
func readRecord(bundle string) (record, error) {
	var r record
	path := filepath.Join(bundle, recordFile)
	content, err := os.ReadFile(path) //nolint:gosec // containerd's bundle
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("reading what start wrote: %w", err)
	}
	if err := json.Unmarshal(content, &r); err != nil {
		return record{}, fmt.Errorf("parsing %s: %w", path, err)
	}
	return r, nil
}

// completeAddresses is for a `start` that was killed before it knew them: by
// then the inner shim has left its own address, and beside it the process id
// if it has a process for this container.
func (r *record) completeAddresses(bundle string) error {
	if r.InnerShim == "" || r.Inner != "" {
		return nil
	}
	address, err := os.ReadFile(filepath.Join(bundle, "address")) //nolint:gosec // containerd's bundle
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the inner shim's address: %w", err)
	}
	r.Inner = strings.TrimSpace(string(address))
	r.Outer = outerAddress(r.Inner)
	if _, err := os.Stat(filepath.Join(bundle, "shim.pid")); err == nil {
		r.Sandbox = true
	}
	for _, address := range []string{r.Inner, r.Outer} {
		file, err := socketFileOf(address)
		if err != nil {
			return err
		}
		if file != nil && r.Sandbox {
			r.Sockets = append(r.Sockets, file)
		}
	}
	return nil
}

// removeSockets takes the sandbox's socket files away.
func (r record) removeSockets() error {
	errs := make([]error, 0, len(r.Sockets))
	for _, f := range r.Sockets {
		errs = append(errs, f.remove())
	}
	return errors.Join(errs...)
}

// replaceFile writes a file so that a reader finds the old one or the new one.
// Whatever is in the way is taken away and not written through.
func replaceFile(path string, content []byte) error {
	temporary := path + ".new"
	if err := removeIfThere(temporary); err != nil {
		return err
	}
	if err := writeNew(temporary, content); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), removeIfThere(temporary))
	}
	if err := os.Rename(temporary, path); err != nil {
		return errors.Join(fmt.Errorf("replacing %s: %w", path, err), removeIfThere(temporary))
	}
	return nil
}

func writeNew(path string, content []byte) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // containerd says where its bundle is
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(content)
	return err
}

func removeIfThere(path string) error {
	err := os.Remove(path) //nolint:gosec // containerd says where its bundle is
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}
