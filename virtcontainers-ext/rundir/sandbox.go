// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package rundir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	sandboxFile = "sandbox.json"
	// maxSandboxFile bounds what is read back, in bytes: three paths.
	maxSandboxFile = 64 << 10
)

// Sandbox is what `start` knew about a sandbox. Readers ignore fields they do
// not know: an upgraded binary meets the folders of running pods.
type Sandbox struct {
	// Hypervisor is the real QEMU, which kata-tes-qemu executes.
	Hypervisor string `json:"hypervisor"`
	// InnerShim is the stock Kata shim behind ours.
	InnerShim string `json:"inner_shim"`
	// ConfigPath is Kata's configuration file as containerd named it, or empty.
	ConfigPath string `json:"config_path,omitempty"`
}

// describe writes sandbox.json so that a reader finds the old or the new one,
// never half of one.
func describe(root, id string, s Sandbox) (err error) {
	dir, err := openPrivate(filepath.Join(root, id))
	if err != nil {
		return err
	}
	defer closeRoot(dir)
	content, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", sandboxFile, err)
	}

	const temporary = sandboxFile + ".new"
	if err := dir.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a left-over %s: %w", temporary, err)
	}
	f, err := dir.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return fmt.Errorf("creating %s: %w", temporary, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, dir.Remove(temporary))
		}
	}()
	_, err = f.Write(append(content, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", temporary, err)
	}
	if err := dir.Rename(temporary, sandboxFile); err != nil {
		return fmt.Errorf("replacing %s: %w", sandboxFile, err)
	}
	return nil
}

func load(root, id string) (s Sandbox, err error) {
	dir, err := openPrivate(filepath.Join(root, id))
	if err != nil {
		return s, err
	}
	defer closeRoot(dir)
	f, err := dir.Open(sandboxFile)
	if err != nil {
		return s, fmt.Errorf("opening %s: %w", sandboxFile, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()

	content, err := io.ReadAll(io.LimitReader(f, maxSandboxFile+1))
	if err != nil {
		return s, fmt.Errorf("reading %s: %w", sandboxFile, err)
	}
	if len(content) > maxSandboxFile {
		return s, fmt.Errorf("%s is larger than %d bytes", sandboxFile, maxSandboxFile)
	}
	if err := json.Unmarshal(content, &s); err != nil {
		return Sandbox{}, fmt.Errorf("parsing %s: %w", sandboxFile, err)
	}
	return s, nil
}
