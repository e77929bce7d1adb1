// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/sys/mountinfo"
	"github.com/stretchr/testify/require"
)

// search looks for keys in all that a process of the guest could read, but for
// this process itself, which knows them.
type search struct {
	t     *testing.T
	forms []form
	// looked are the places that were searched.
	looked           []string
	files, processes int
	bytes            int64
}

// form is a way to write a part of a key.
type form struct {
	name string
	text []byte
}

// newSearch: each 32 bytes of a key are a key of a cipher or of tags, and worth
// as much as the whole.
func newSearch(t *testing.T, keys map[string][]byte) *search {
	s := &search{t: t}
	for name, key := range keys {
		for at := 0; at+32 <= len(key); at += 32 {
			part, label := key[at:at+32], fmt.Sprintf("%s at %d", name, at)
			digits := hex.EncodeToString(part)
			s.forms = append(s.forms,
				form{label + " raw", bytes.Clone(part)},
				form{label + " as hex", []byte(digits)},
				form{label + " as HEX", []byte(strings.ToUpper(digits))},
			)
			// Base64 of the part, wherever it begins in what was encoded. The
			// ends depend on what is beside.
			for shift := range 3 {
				text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), part...))
				s.forms = append(s.forms, form{label + " as base64", []byte(strings.TrimRight(text, "=")[4 : len(text)-4])})
			}
		}
	}
	return s
}

// everywhere gives "form in place" for what it finds.
func (s *search) everywhere() (found []string) {
	s.files, s.processes, s.bytes, s.looked = 0, 0, 0, nil
	found = append(found, s.memoryFiles()...)
	found = append(found, s.allProcesses()...)
	return append(found, s.within(strings.NewReader(run(s.t, "dmesg")), "the kernel's log")...)
}

// memoryFiles looks at all regular files of file systems in memory.
func (s *search) memoryFiles() (found []string) {
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !slices.Contains([]string{"tmpfs", "ramfs", "rootfs", "devtmpfs"}, m.FSType), false
	})
	require.NoError(s.t, err)
	require.GreaterOrEqual(s.t, len(mounts), 4)
	for _, m := range mounts {
		require.NoError(s.t, filepath.WalkDir(m.Mountpoint, func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if e.IsDir() && path != m.Mountpoint && slices.ContainsFunc(mounts, func(other *mountinfo.Info) bool { return other.Mountpoint == path }) {
				return fs.SkipDir // has its own turn
			}
			if e.Type().IsRegular() {
				s.files++
				found = append(found, s.file(path)...)
			}
			return nil
		}))
	}
	return found
}

func (s *search) file(path string) []string {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil // gone meanwhile
	}
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, f.Close()) }()
	return s.within(f, path)
}

// allProcesses looks at arguments, environments and memory.
func (s *search) allProcesses() (found []string) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(s.t, err)
	for _, dir := range dirs {
		if filepath.Base(dir) == strconv.Itoa(os.Getpid()) {
			continue
		}
		s.processes++
		for _, name := range []string{"cmdline", "environ"} {
			found = append(found, s.file(dir+"/"+name)...)
		}
		found = append(found, s.memory(dir)...)
	}
	return found
}

// memory looks at all that a process has mapped and can be read. Kernel threads
// have nothing mapped.
func (s *search) memory(dir string) (found []string) {
	maps, err := os.ReadFile(dir + "/maps")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) || len(maps) == 0 {
		return nil
	}
	require.NoError(s.t, err)
	mem, err := os.Open(dir + "/mem")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, mem.Close()) }()
	for line := range strings.Lines(string(maps)) {
		var begin, end int64
		if _, err := fmt.Sscanf(line, "%x-%x ", &begin, &end); err != nil || strings.Contains(line, "[v") {
			continue // vvar, vdso, vsyscall: the kernel's
		}
		found = append(found, s.within(io.NewSectionReader(mem, begin, end-begin), dir+"/mem")...)
	}
	return found
}

// within reads all there is. Pages that can't be read (device memory, guard
// pages) end a range.
func (s *search) within(r io.Reader, place string) (found []string) {
	if len(s.looked) == 0 || s.looked[len(s.looked)-1] != place {
		s.looked = append(s.looked, place)
	}
	const overlap = 256
	reader := bufio.NewReaderSize(r, 1<<20)
	buffer := make([]byte, overlap+1<<16)
	zeros := make([]byte, 1<<16)
	for {
		n, err := io.ReadFull(reader, buffer[overlap:])
		s.bytes += int64(n)
		// A form has no room in what is zero, but for its end.
		if n > 0 && !bytes.Equal(buffer[overlap:overlap+n], zeros[:n]) {
			for _, f := range s.forms {
				if bytes.Contains(buffer[:overlap+n], f.text) {
					found = append(found, f.name+" in "+place)
				}
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ESRCH) {
				require.NoError(s.t, err, place)
			}
			return found
		}
		copy(buffer[:overlap], buffer[len(buffer)-overlap:])
	}
}
