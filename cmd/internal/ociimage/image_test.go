// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"
)

// binaries are stand-ins: what they are made of is no affair of an image.
func binaries(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for _, arch := range architectures {
		require.NoError(t, os.Mkdir(filepath.Join(folder, arch), 0o755))
		for _, name := range []string{"kata-tes", "kata-tes-qemu"} {
			require.NoError(t, os.WriteFile(filepath.Join(folder, arch, name), []byte(name+" for "+arch), 0o600))
		}
	}
	return folder
}

func stored(t *testing.T, folder string) v1.ImageIndex {
	t.Helper()
	path, err := layout.FromPath(folder)
	require.NoError(t, err)
	root, err := path.ImageIndex()
	require.NoError(t, err)
	manifest, err := root.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 1)
	index, err := root.ImageIndex(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	return index
}

func TestImageHasTheBinariesAndNothingElse(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "image")
	require.NoError(t, run(t.Context(), []string{"-binaries", binaries(t), "-layout", folder, "-version", "1.2.3", "-created", "1700000000"}))
	index := stored(t, folder)
	require.NoError(t, validate.Index(index))
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, len(architectures))
	for i, arch := range architectures {
		require.Equal(t, &v1.Platform{OS: "linux", Architecture: arch}, manifest.Manifests[i].Platform)
		image, err := index.Image(manifest.Manifests[i].Digest)
		require.NoError(t, err)
		file, err := image.ConfigFile()
		require.NoError(t, err)
		require.Equal(t, arch, file.Architecture)
		require.Equal(t, []string{"/opt/kata-tes/bin/kata-tes"}, file.Config.Entrypoint)
		require.Equal(t, "1.2.3", file.Config.Labels["org.opencontainers.image.version"])
		require.Equal(t, time.Unix(1700000000, 0).UTC(), file.Created.UTC())
		require.Equal(t, map[string]string{
			"opt": "", "opt/kata-tes": "", "opt/kata-tes/bin": "",
			"opt/kata-tes/bin/kata-tes":      "kata-tes for " + arch,
			"opt/kata-tes/bin/kata-tes-qemu": "kata-tes-qemu for " + arch,
		}, files(t, image))
	}
}

// files reads an image's files and checks that each is root's and all may run it.
func files(t *testing.T, image v1.Image) map[string]string {
	t.Helper()
	all := map[string]string{}
	archive := mutate.Extract(image)
	defer func() { require.NoError(t, archive.Close()) }()
	r := tar.NewReader(archive)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		require.EqualValues(t, 0o755, header.Mode, header.Name)
		require.Zero(t, header.Uid+header.Gid, header.Name)
		require.EqualValues(t, 1700000000, header.ModTime.Unix(), header.Name)
		content, err := io.ReadAll(r)
		require.NoError(t, err)
		all[header.Name] = string(content)
	}
}

func TestTheSameBinariesGiveTheSameImage(t *testing.T) {
	digest := func(created int64) v1.Hash {
		index, err := newIndex(binaries(t), about{Version: "1", Created: time.Unix(created, 0)})
		require.NoError(t, err)
		h, err := index.Digest()
		require.NoError(t, err)
		return h
	}
	require.Equal(t, digest(5), digest(5), "the files' own times and the day of the build must not count")
	require.NotEqual(t, digest(5), digest(6))
}

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	to := strings.TrimPrefix(server.URL, "http://") + "/kata-tes:v1.2.3"
	folder := filepath.Join(t.TempDir(), "image")
	require.NoError(t, run(t.Context(), []string{"-binaries", binaries(t), "-layout", folder, "-push", to}))

	tag, err := name.NewTag(to)
	require.NoError(t, err)
	pushed, err := remote.Index(tag)
	require.NoError(t, err)
	require.NoError(t, validate.Index(pushed))
	want, err := stored(t, folder).Digest()
	require.NoError(t, err)
	got, err := pushed.Digest()
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestMistakesChangeNothing(t *testing.T) {
	mine := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(mine, "letter"), []byte("dear"), 0o600))
	partial := binaries(t)
	require.NoError(t, os.RemoveAll(filepath.Join(partial, "arm64")))
	odd := binaries(t)
	require.NoError(t, os.Mkdir(filepath.Join(odd, "amd64", "notes"), 0o755))
	none := binaries(t)
	for _, name := range []string{"kata-tes", "kata-tes-qemu"} {
		require.NoError(t, os.Remove(filepath.Join(none, "arm64", name)))
	}
	for _, c := range []struct {
		name, want string
		args       []string
	}{
		{"no folder", "usage", nil},
		{"too much", "usage", []string{"-binaries", mine, "-layout", mine, "more"}},
		{"somebody else's folder", "no OCI layout", []string{"-binaries", binaries(t), "-layout", mine}},
		{"an architecture is missing", "arm64", []string{"-binaries", partial, "-layout", filepath.Join(mine, "new")}},
		{"no binaries", "has no binaries", []string{"-binaries", none, "-layout", filepath.Join(mine, "new")}},
		{"something else", "nothing but binaries", []string{"-binaries", odd, "-layout", filepath.Join(mine, "new")}},
		{"no such name", "the image's name", []string{"-binaries", binaries(t), "-layout", filepath.Join(mine, "new"), "-push", "Kata TES"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.ErrorContains(t, run(t.Context(), c.args), c.want)
			entries, err := os.ReadDir(mine)
			require.NoError(t, err)
			require.Len(t, entries, 1)
		})
	}
}
