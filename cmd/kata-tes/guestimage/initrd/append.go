// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package initrd

import (
	"fmt"
	"strings"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage/tree"
	"golang.org/x/sys/unix"
)

// ourDevice stands in the device number of our entries, which means nothing to
// the kernel: by that a later kata-tes knows an archive that it may replace.
const ourDevice = 0x746573

// Base is how much of the initrd is not ours, in bytes: all, or what is before
// the archive that an earlier kata-tes has appended.
func (a *Archive) Base(size int64) int64 {
	if last := a.segments[len(a.segments)-1]; last.ours && len(a.segments) > 1 {
		return last.start
	}
	return size
}

// Padding is how many zeros must come between size bytes and an archive.
func Padding(size int64) int64 { return align(size) - size }

// Appendix is the archive to append so that the tree has the files of the steps.
// It is not compressed: the agent extension is needed once, and a plain archive
// needs nothing of the guest's kernel.
func Appendix(steps []tree.Step) ([]byte, error) {
	var archive []byte
	for i, step := range steps {
		if err := canReplace(step); err != nil {
			return nil, err
		}
		content, links := step.Content, uint32(1)
		switch step.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			content = []byte(step.Target)
		case unix.S_IFDIR:
			links = 2
		}
		archive = appendEntry(archive, header{
			ino: uint32(i + 1), mode: step.Mode, nlink: links, devMinor: ourDevice, name: strings.TrimPrefix(step.Path, "/"),
		}, content)
	}
	return appendEntry(archive, header{nlink: 1, devMinor: ourDevice, name: trailer}, nil), nil
}

// canReplace says whether the kernel replaces what is there.
func canReplace(step tree.Step) error {
	old := step.Replaces
	switch {
	case old == nil:
		return nil
	case old.IsLink() && step.Mode&unix.S_IFMT == unix.S_IFLNK:
		return fmt.Errorf("%s in the initrd is a link to %.200s already, which a kernel does not replace: make the initrd without it",
			step.Path, old.Target)
	case old.IsRegular() && old.Links > 1:
		return fmt.Errorf("%s in the initrd has other names, which would change with it: make the initrd without it", step.Path)
	}
	return nil
}
