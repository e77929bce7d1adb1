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
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"
)

func TestImage(t *testing.T) {
	folder := t.TempDir()
	program := filepath.Join(folder, "program")
	require.NoError(t, os.WriteFile(program, []byte("a program"), 0o600))
	archive, registry := filepath.Join(folder, "image.tar"), filepath.Join(folder, "registry")
	const name = "docker.io/library/test:latest"
	files := []string{"/bin/program=" + program, "/bin/link:program", "++", "/pattern=pattern:3M", "/sum=sum:3M:/pattern"}
	require.NoError(t, run(archive, registry, name, []string{"program"}, files))
	require.NoError(t, run("", registry, "docker.io/library/other:latest", []string{"program"}, files[:2]))

	fromArchive, err := tarball.ImageFromPath(archive, nil)
	require.NoError(t, err)
	path, err := layout.FromPath(registry)
	require.NoError(t, err)
	index, err := path.ImageIndex()
	require.NoError(t, err)
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 2)
	require.Equal(t, name, manifest.Manifests[0].Annotations[nameAnnotation])
	image, err := index.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	one, err := image.ConfigName()
	require.NoError(t, err)
	other, err := fromArchive.ConfigName()
	require.NoError(t, err)
	require.Equal(t, one, other, "archive and layout have the same image")

	config, err := image.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, []string{"program"}, config.Config.Cmd)
	layers, err := image.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 2)
	size, err := layers[1].Size()
	require.NoError(t, err)
	require.Less(t, size, int64(100_000), "a pattern hardly takes any room")

	lower := contents(t, layers[0].Uncompressed)
	require.Equal(t, "a program", lower["bin/program"])
	require.Equal(t, "-> program", lower["bin/link"])
	upper := contents(t, layers[1].Uncompressed)
	require.Len(t, upper["pattern"], 3<<20)
	require.NotContains(t, upper["pattern"], "\x00", "nothing that a file system might leave out")
	require.Equal(t, fmt.Sprintf("%x  /pattern\n", sha256.Sum256([]byte(upper["pattern"]))), upper["sum"])
}

func contents(t *testing.T, open func() (io.ReadCloser, error)) map[string]string {
	t.Helper()
	layer, err := open()
	require.NoError(t, err)
	defer func() { require.NoError(t, layer.Close()) }()
	files := map[string]string{}
	for r := tar.NewReader(layer); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		files[header.Name] = string(content)
		if header.Typeflag == tar.TypeSymlink {
			files[header.Name] = "-> " + header.Linkname
		}
	}
}

func TestImageRefuses(t *testing.T) {
	for _, file := range []string{"nothing", "/a=/no/such/file", "/a=pattern:large", "/a=sum:large:/b"} {
		require.Error(t, run("", t.TempDir(), "docker.io/library/x:latest", nil, []string{file}), file)
	}
	require.Error(t, run(filepath.Join(t.TempDir(), "x.tar"), "", "NO NAME", nil, []string{"/a:b"}))
}
