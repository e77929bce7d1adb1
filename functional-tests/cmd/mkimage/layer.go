// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// newLayers makes a file for each layer.
func newLayers(folder string, args []string) ([]string, error) {
	var files []string
	for len(args) > 0 {
		end := slices.Index(args, "++")
		if end < 0 {
			end = len(args)
		}
		file := filepath.Join(folder, strconv.Itoa(len(files)))
		if err := writeLayer(file, args[:end], len(files) == 0); err != nil {
			return nil, err
		}
		files = append(files, file)
		args = args[min(end+1, len(args)):]
	}
	return files, nil
}

// writeLayer writes what the arguments name and, to the lowest layer, the
// folders that any program expects.
func writeLayer(file string, args []string, lowest bool) (err error) {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := tar.NewWriter(out)
	if lowest {
		for _, folder := range []string{"bin/", "etc/", "proc/", "sys/", "dev/", "tmp/", "root/"} {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder, Mode: 0o755}); err != nil {
				return err
			}
		}
	}
	for _, arg := range args {
		if err := add(w, arg); err != nil {
			return fmt.Errorf("adding %s: %w", arg, err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("ending a layer: %w", err)
	}
	return nil
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

// open gives the content of a file, of a pattern, or of a pattern's checksum.
func open(file string) (io.ReadCloser, int64, error) {
	if text, ok := strings.CutPrefix(file, "pattern:"); ok {
		size, err := parseSize(text)
		return io.NopCloser(newPattern()), size, err
	}
	if text, ok := strings.CutPrefix(file, "sum:"); ok {
		text, name, _ := strings.Cut(text, ":")
		size, err := parseSize(text)
		if err != nil {
			return nil, 0, err
		}
		sum := sha256.New()
		if _, err := io.CopyN(sum, newPattern(), size); err != nil {
			return nil, 0, err
		}
		line := fmt.Sprintf("%x  %s\n", sum.Sum(nil), name)
		return io.NopCloser(strings.NewReader(line)), int64(len(line)), nil
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

func parseSize(text string) (int64, error) {
	mebibytes, err := strconv.ParseInt(strings.TrimSuffix(text, "M"), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("size of a pattern: %w", err)
	}
	return mebibytes << 20, nil
}
