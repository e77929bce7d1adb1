// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/kata-tes/kata-tes/agent-ext/disk"
	"github.com/kata-tes/kata-tes/agentproto"
)

// record is what a store leaves for the next process, should this one die: the
// file system stays mounted then, and somebody must know whose it is. It is in
// guest memory, beside the header, and as trustworthy.
type record struct {
	Marker agentproto.Marker `json:"marker"`
	// Disk is there when it was found, Ready when the store is ready.
	Disk  *disk.Disk `json:"disk,omitempty"`
	Ready *Ready     `json:"ready,omitempty"`
}

// write replaces the file in one step. What is in the way is not written
// through.
func (r record) write(path string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("recording the store: %w", err)
	}
	fresh := path + ".new"
	if err := errors.Join(removeRecord(fresh), writeNew(fresh, text)); err != nil {
		return fmt.Errorf("recording the store: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("recording the store: %w", err)
	}
	return nil
}

func writeNew(path string, text []byte) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // from the measured configuration
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = f.Write(text)
	return err
}

// readRecord gives nil where there is none.
func readRecord(path string) (*record, error) {
	text, err := os.ReadFile(path) //nolint:gosec // from the measured configuration
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record of the store: %w", err)
	}
	r := &record{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("reading the record of the store in %s: %w", path, err)
	}
	if _, err := agentproto.ParseMarker(string(r.Marker)); err != nil {
		return nil, fmt.Errorf("reading the record of the store in %s: %w", path, err)
	}
	return r, nil
}

func removeRecord(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the record of the store: %w", err)
	}
	return nil
}
