// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// newLayer makes the image's only layer: the folders down to prefix and the
// binaries there, root's, all of one moment. It is held in memory.
func newLayer(folder string, created time.Time) (v1.Layer, error) {
	names, err := programs(folder)
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	for _, parent := range parents(prefix) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: parent, Mode: 0o755, ModTime: created, Format: tar.FormatUSTAR}); err != nil {
			return nil, fmt.Errorf("writing the layer: %w", err)
		}
	}
	for _, name := range names {
		if err := addProgram(w, filepath.Join(folder, name), created); err != nil {
			return nil, fmt.Errorf("writing the layer: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("writing the layer: %w", err)
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil }
	return tarball.LayerFromOpener(opener,
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
}

// parents are a folder and those above it, the highest first, as archives name
// them.
func parents(folder string) []string {
	var all []string
	parts := strings.Split(strings.Trim(folder, "/"), "/")
	for i := range parts {
		all = append(all, strings.Join(parts[:i+1], "/")+"/")
	}
	return all
}

func addProgram(w *tar.Writer, file string, created time.Time) error {
	program, err := os.ReadFile(file) //nolint:gosec // the folder is named by who builds the release
	if err != nil {
		return err
	}
	header := &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     strings.TrimPrefix(prefix, "/") + "/" + filepath.Base(file),
		Mode:     0o755,
		Size:     int64(len(program)),
		ModTime:  created,
		Format:   tar.FormatUSTAR,
	}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = w.Write(program)
	return err
}
