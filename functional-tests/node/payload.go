// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// makePayload makes the disk image with what changes from boot to boot: our
// binaries and guest image, this boot's keys, the caller's files.
func makePayload(c *Config, folder string, k *keys) (string, error) {
	tree := filepath.Join(folder, "payload")
	// Links: a hundred megabytes need no copying.
	if err := command("cp", "-al", c.part("payload"), tree); err != nil {
		return "", err
	}
	if err := k.write(filepath.Join(tree, "boot")); err != nil {
		return "", err
	}
	for name, path := range c.Files {
		target := filepath.Join(tree, filepath.Clean("/"+name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return "", fmt.Errorf("making the payload: %w", err)
		}
		if err := command("cp", "-rL", path, target); err != nil {
			return "", err
		}
	}
	size, err := sizeOf(tree)
	if err != nil {
		return "", err
	}
	image := filepath.Join(folder, "payload.img")
	const spare = 32 << 20
	if err := command("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-d", tree, image, fmt.Sprintf("%dk", (size+size/16+spare)>>10)); err != nil {
		return "", err
	}
	if err := os.RemoveAll(tree); err != nil {
		return "", fmt.Errorf("removing the payload's files: %w", err)
	}
	return image, nil
}

func sizeOf(tree string) (int64, error) {
	var size int64
	err := filepath.WalkDir(tree, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("measuring the payload: %w", err)
	}
	return size, nil
}

func command(name string, args ...string) error {
	output, err := exec.Command(name, args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: run functional-tests/packages.sh", err)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}
