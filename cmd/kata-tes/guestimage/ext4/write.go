// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ext4

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/tree"
	"golang.org/x/sys/unix"
)

// BlocksFor is how many blocks the steps need at most: contents, and what
// folders and their blocks' maps grow by.
func (f *FS) BlocksFor(steps []tree.Step) uint64 {
	const perStep, spare = 4, 64
	blocks := uint64(spare)
	for _, step := range steps {
		blocks += perStep + uint64((int64(len(step.Content))+f.super.blockSize-1)/f.super.blockSize)
		if step.Replaces != nil && step.Replaces.Links == 1 {
			// It goes before the new one comes.
			blocks -= min(blocks, uint64(step.Replaces.Size/f.super.blockSize))
		}
	}
	return blocks
}

// Apply carries out the steps. When it fails the file system is not to be used.
func (f *FS) Apply(ctx context.Context, steps []tree.Step) (err error) {
	const script = "commands"
	commands := []string{fmt.Sprintf("set_current_time @%d", f.super.written.Unix())}
	for i, step := range steps {
		if !plainPath.MatchString(step.Path) || strings.ContainsAny(step.Target, " \t\n\"") {
			return fmt.Errorf("%.200q in the image: a path with such characters can't be written", step.Path)
		}
		source := fmt.Sprintf("content-%d", i)
		defer func() { err = errors.Join(err, os.RemoveAll(filepath.Join(f.folder, source))) }()
		if err := os.WriteFile(filepath.Join(f.folder, source), step.Content, 0o600); err != nil {
			return err
		}
		commands = append(commands, commandsFor(step, source)...)
	}
	path := filepath.Join(f.folder, script)
	defer func() { err = errors.Join(err, os.RemoveAll(path)) }()
	if err := os.WriteFile(path, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	if _, err := f.debugfs(ctx, "-w", "-f", script); err != nil {
		return fmt.Errorf("writing to the ext4 file system: %w", err)
	}
	if err := f.reload(); err != nil {
		return err
	}
	return f.verify(ctx, steps)
}

func commandsFor(step tree.Step, source string) []string {
	var commands []string
	if step.Replaces != nil {
		commands = append(commands, "rm "+step.Path)
	}
	switch step.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		commands = append(commands, "mkdir "+step.Path)
	case unix.S_IFLNK:
		commands = append(commands, "symlink "+step.Path+" "+step.Target)
	default:
		commands = append(commands, "write "+source+" "+step.Path)
	}
	set := func(field, value string) {
		commands = append(commands, "set_inode_field "+step.Path+" "+field+" "+value)
	}
	set("mode", fmt.Sprintf("0%o", step.Mode))
	set("uid", "0")
	set("gid", "0")
	return commands
}

// verify reads everything back.
func (f *FS) verify(ctx context.Context, steps []tree.Step) error {
	for _, step := range steps {
		entry, err := f.Lstat(ctx, step.Path)
		if err != nil {
			return fmt.Errorf("reading back what was written: %w", err)
		}
		if entry.IsDir() && entry.Mode == step.Mode && entry.UID == 0 && entry.GID == 0 {
			continue
		}
		left, err := tree.Plan(ctx, f, []tree.File{step.File})
		if err != nil {
			return fmt.Errorf("reading back what was written: %w", err)
		}
		if len(left) > 0 {
			return fmt.Errorf("%s in the image is not what was written to it", step.Path)
		}
	}
	return nil
}
