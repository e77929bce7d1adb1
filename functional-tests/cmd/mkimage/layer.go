// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// newLayer makes the image's only layer: what the arguments name, and the
// folders that any program expects. It is a file, which the caller removes.
func newLayer(args []string) (_ string, err error) {
	out, err := os.CreateTemp("", "mkimage-")
	if err != nil {
		return "", err
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	w := tar.NewWriter(out)
	for _, folder := range []string{"bin/", "etc/", "proc/", "sys/", "dev/", "tmp/", "root/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder, Mode: 0o755}); err != nil {
			return "", err
		}
	}
	for _, arg := range args {
		if err := add(w, arg); err != nil {
			return "", fmt.Errorf("adding %s: %w", arg, err)
		}
	}
	if err := w.Close(); err != nil {
		return "", fmt.Errorf("ending the layer: %w", err)
	}
	return out.Name(), nil
}

func add(w *tar.Writer, arg string) error {
	if path, file, ok := strings.Cut(arg, "="); ok {
		content, size, err := open(file)
		if err != nil {
			return err
		}
		defer func() { _ = content.Close() }()
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(path, "/"), Mode: 0o755, Size: size}); err != nil {
			return err
		}
		_, err = io.CopyN(w, content, size)
		return err
	}
	link, target, ok := strings.Cut(arg, ":")
	if !ok {
		return errors.New("neither path=file nor link:target")
	}
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: strings.TrimPrefix(link, "/"), Linkname: target, Mode: 0o777})
}

// open gives a file's content, or a pattern.
func open(file string) (io.ReadCloser, int64, error) {
	if text, ok := strings.CutPrefix(file, "pattern:"); ok {
		mebibytes, err := strconv.ParseInt(strings.TrimSuffix(text, "M"), 10, 32)
		if err != nil {
			return nil, 0, fmt.Errorf("size of the pattern: %w", err)
		}
		return io.NopCloser(newPattern()), mebibytes << 20, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// pattern repeats one block of noise for ever. The block fits gzip's window, so
// it compresses to a thousandth, and has no zeros that a file system might
// leave out.
type pattern struct {
	block  []byte
	offset int
}

func newPattern() *pattern {
	const size = 16 << 10
	block := make([]byte, 0, size)
	// A linear congruential generator (Knuth's MMIX), the same every time.
	for state := uint64(1); len(block) < size; {
		state = state*6364136223846793005 + 1442695040888963407
		block = append(block, byte(state>>33)|1)
	}
	return &pattern{block: block}
}

func (p *pattern) Read(out []byte) (int, error) {
	n := copy(out, p.block[p.offset:])
	p.offset = (p.offset + n) % len(p.block)
	return n, nil
}
