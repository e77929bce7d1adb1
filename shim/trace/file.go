// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kata-tes/kata-tes/shim/nodelock"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

const (
	// FileName is the file in the folder of traces.
	FileName = "kata-tes.jsonl"
	// OldFileName is what it becomes when it is full. The collector includes
	// both: it knows a file that was renamed by how it begins, and goes on where
	// it was.
	OldFileName = "kata-tes.1.jsonl"

	// maxFile is how many bytes the file may have, so that the node gives twice
	// as much of its memory to traces: some thousand Creates.
	maxFile = 4 << 20

	fileMode = 0o644
)

// appendLine adds a line to the node's file.
func appendLine(root string, line []byte) (err error) {
	dir, err := rundir.OpenTraces(root)
	if err != nil {
		return fmt.Errorf("opening the folder of traces: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	lock, err := nodelock.Take(dir)
	if err != nil {
		return fmt.Errorf("locking the traces: %w", err)
	}
	// Closing lets go of it, as does the process's end.
	defer func() { err = errors.Join(err, lock.Close()) }()

	if err := rotate(dir, int64(len(line))); err != nil {
		return err
	}
	return write(dir, line)
}

// rotate makes room for so many bytes more.
func rotate(dir *os.Root, more int64) error {
	st, err := dir.Lstat(FileName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking at the traces: %w", err)
	case st.Size() == 0 || st.Size()+more <= maxFile:
		return nil
	}
	if err := dir.Rename(FileName, OldFileName); err != nil {
		return fmt.Errorf("putting the full file of traces aside: %w", err)
	}
	return nil
}

// write adds the line, or leaves the file as it was. It isn't synced: it ends
// with the boot anyway.
func write(dir *os.Root, line []byte) (err error) {
	f, err := dir.OpenFile(FileName, os.O_CREATE|os.O_APPEND|os.O_RDWR, fileMode)
	if err != nil {
		return fmt.Errorf("opening the traces: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("looking at the traces: %w", err)
	}
	// Whatever the umask is.
	if st.Mode().Perm() != fileMode {
		if err := f.Chmod(fileMode); err != nil {
			return fmt.Errorf("letting others read the traces: %w", err)
		}
	}
	if cut, err := endsWithinLine(f, st.Size()); err != nil {
		return err
	} else if cut {
		line = append([]byte{'\n'}, line...)
	}
	if _, err := f.Write(line); err != nil {
		return errors.Join(fmt.Errorf("writing the traces: %w", err), f.Truncate(st.Size()))
	}
	return nil
}

// endsWithinLine says whether a shim was killed while it wrote.
func endsWithinLine(f *os.File, size int64) (bool, error) {
	if size == 0 {
		return false, nil
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil {
		return false, fmt.Errorf("reading the traces: %w", err)
	}
	return last[0] != '\n', nil
}
