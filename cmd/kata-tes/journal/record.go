// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/tomledit"
)

// Folder has the record, and what was there before.
const Folder = "/var/lib/kata-tes"

const (
	recordFile   = Folder + "/install.json"
	beforeFolder = Folder + "/before"
	formatNow    = 1
)

// ErrRecord says that the record cannot be used.
var ErrRecord = errors.New("the record of the installation cannot be read")

// record is install.json.
type record struct {
	Format int `json:"format"`
	// Done is false from before the first change to behind the last one.
	Done bool `json:"done"`
	// Folders that were made, parents first.
	Folders []string `json:"folders"`
	Files   []entry  `json:"files"`
	// Info is the caller's.
	Info json.RawMessage `json:"info,omitempty"`
}

// entry is a file that was changed or is going to be.
type entry struct {
	Path string `json:"path"`
	// Before is nil when there was no file.
	Before *saved `json:"before"`
	// Ours are the SHA-256 sums of what we put there: several while one
	// installation takes the place of another.
	Ours  []string `json:"ours"`
	Edits []Edit   `json:"edits,omitempty"`
}

// saved is a file whose content is in the folder before, under its SHA-256 sum.
type saved struct {
	SHA256 string      `json:"sha256"`
	Mode   fs.FileMode `json:"mode"`
	UID    int         `json:"uid"`
	GID    int         `json:"gid"`
}

// Edit is a change within a file that belongs to somebody else, who may change
// the rest of it: one value, or a block between two lines.
type Edit struct {
	Value *tomledit.Change `json:"value,omitempty"`
	Block *Block           `json:"block,omitempty"`
}

// equal compares what would be written.
func (r *record) equal(other *record) bool {
	if r == nil || other == nil {
		return r == other
	}
	one, oneErr := json.Marshal(r)
	two, twoErr := json.Marshal(other)
	return oneErr == nil && twoErr == nil && string(one) == string(two)
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}

func save(s *snapshot) *saved {
	if s == nil {
		return nil
	}
	return &saved{SHA256: sum(s.content), Mode: s.mode, UID: s.uid, GID: s.gid}
}

// readRecord gives nil when nothing is recorded.
func (d disk) readRecord() (*record, error) {
	file, err := d.read(recordFile)
	if file == nil || err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(file.content, &r); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrRecord, recordFile, err)
	}
	if r.Format != formatNow {
		return nil, fmt.Errorf("%w: %s has the format %d, this version knows %d; use the version that wrote it", ErrRecord, recordFile, r.Format, formatNow)
	}
	return &r, nil
}

func (d disk) writeRecord(r *record) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return d.write(recordFile, snapshot{content: append(content, '\n'), mode: 0o600})
}

// readSaved gives the content of what was there before, after a check.
func (d disk) readSaved(s *saved) (*snapshot, error) {
	if s == nil {
		return nil, nil
	}
	file, err := d.read(path.Join(beforeFolder, s.SHA256))
	if err != nil {
		return nil, err
	}
	if file == nil || sum(file.content) != s.SHA256 {
		return nil, fmt.Errorf("%w: %s is gone or damaged", ErrRecord, path.Join(beforeFolder, s.SHA256))
	}
	return &snapshot{content: file.content, mode: s.Mode, uid: s.UID, gid: s.GID}, nil
}

// writeSaved keeps a content for readSaved.
func (d disk) writeSaved(content []byte) error {
	name := path.Join(beforeFolder, sum(content))
	if there, err := d.read(name); err != nil || there != nil && sum(there.content) == sum(content) {
		return err
	}
	return d.write(name, snapshot{content: content, mode: 0o600})
}
