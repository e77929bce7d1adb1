// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"strings"
)

// newLayer makes the image's only layer: what the arguments name, and the
// folders that any program expects.
func newLayer(args []string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, folder := range []string{"bin/", "etc/", "proc/", "sys/", "dev/", "tmp/", "root/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder, Mode: 0o755}); err != nil {
			return nil, err
		}
	}
	for _, arg := range args {
		if err := add(w, arg); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("ending the layer: %w", err)
	}
	return out.Bytes(), nil
}

func add(w *tar.Writer, arg string) error {
	if path, file, ok := strings.Cut(arg, "="); ok {
		content, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("reading a program: %w", err)
		}
		return writeFile(w, strings.TrimPrefix(path, "/"), 0o755, content)
	}
	link, target, ok := strings.Cut(arg, ":")
	if !ok {
		return fmt.Errorf("%q is neither path=file nor link:target", arg)
	}
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: strings.TrimPrefix(link, "/"), Linkname: target, Mode: 0o777})
}

func writeFile(w *tar.Writer, name string, mode int64, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}
	if err := w.WriteHeader(header); err != nil {
		return fmt.Errorf("adding %s: %w", name, err)
	}
	if _, err := w.Write(content); err != nil {
		return fmt.Errorf("adding %s: %w", name, err)
	}
	return nil
}
