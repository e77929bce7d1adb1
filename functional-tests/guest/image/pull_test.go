// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// testRegistry counts the layers that are fetched from it, and may spoil them.
type testRegistry struct {
	host    string
	blobs   atomic.Int32
	corrupt atomic.Bool
}

func newTestRegistry(t *testing.T) *testRegistry {
	t.Helper()
	r := &testRegistry{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method == http.MethodGet && strings.Contains(request.URL.Path, "/blobs/") {
			r.blobs.Add(1)
			if r.corrupt.Load() {
				w = spoiled{w}
			}
		}
		inner.ServeHTTP(w, request)
	}))
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// spoiled changes a byte of what is sent.
type spoiled struct{ http.ResponseWriter }

func (s spoiled) Write(content []byte) (int, error) {
	content = bytes.Clone(content)
	if len(content) > 20 {
		content[len(content)/2] ^= 1
	}
	return s.ResponseWriter.Write(content)
}

// store is one that finds docker.io's images in the registry.
func (r *testRegistry) store(folder string) *Store {
	return NewStore(folder, Registries{Registries: []Registry{{Prefix: "docker.io", Location: r.host, Insecure: true}}})
}

func (r *testRegistry) push(t *testing.T, image string, layers ...v1.Layer) {
	t.Helper()
	content, err := mutate.AppendLayers(empty.Image, layers...)
	require.NoError(t, err)
	reference, err := name.ParseReference(r.host+"/library/"+image, name.Insecure)
	require.NoError(t, err)
	require.NoError(t, remote.Write(reference, content))
}

// layer has a file for each pair of path and content.
func layer(t *testing.T, files ...string) v1.Layer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: files[i], Mode: 0o644, Size: int64(len(files[i+1])), Uid: os.Getuid(), Gid: os.Getgid()}))
		_, err := w.Write([]byte(files[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil })
	require.NoError(t, err)
	return l
}

func TestPull(t *testing.T) {
	r := newTestRegistry(t)
	base := layer(t, "etc/base", "from base")
	r.push(t, "one", base, layer(t, "etc/one", "from one"))
	r.push(t, "two", base, layer(t, "etc/two", "from two"))
	folder := t.TempDir()
	s := r.store(folder)

	require.NoDirExists(t, filepath.Join(folder, "layers"), "a store may yet be mounted here")
	one, err := s.Pull(t.Context(), "one")
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(folder, "layers/0"), filepath.Join(folder, "layers/1")}, one)
	content, err := os.ReadFile(filepath.Join(one[1], "etc/one"))
	require.NoError(t, err)
	require.Equal(t, "from one", string(content))

	two, err := s.Pull(t.Context(), "docker.io/library/two:latest")
	require.NoError(t, err)
	require.Equal(t, one[0], two[0], "a layer is shared by images")
	require.NotEqual(t, one[1], two[1])

	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, entries, 1, "the folder holds layers, and nothing about them")
}

func TestConcurrentPullsPullOnce(t *testing.T) {
	r := newTestRegistry(t)
	r.push(t, "app", layer(t, "file", strings.Repeat("content ", 1000)))
	s := r.store(t.TempDir())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := s.Pull(context.Background(), "app")
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	// Each asks for the configuration, one for the layer.
	require.Equal(t, int32(8+1), r.blobs.Load())
}

func TestPullFails(t *testing.T) {
	r := newTestRegistry(t)
	r.push(t, "app", layer(t, "file", strings.Repeat("content ", 1000)))

	t.Run("no such image", func(t *testing.T) {
		_, err := r.store(t.TempDir()).Pull(t.Context(), "nothing")
		require.ErrorContains(t, err, "failed to pull image nothing")
		require.ErrorContains(t, err, r.host)
	})
	t.Run("changed on the way", func(t *testing.T) {
		folder := t.TempDir()
		s := r.store(folder)
		r.corrupt.Store(true)
		_, err := s.Pull(t.Context(), "app")
		require.Error(t, err)
		r.corrupt.Store(false)
		_, err = s.Pull(t.Context(), "app")
		require.NoError(t, err, "the next attempt starts clean")
	})
	t.Run("given up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := r.store(t.TempDir()).Pull(ctx, "app")
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("a store that is gone", func(t *testing.T) {
		folder := t.TempDir()
		s := r.store(folder)
		_, err := s.Pull(t.Context(), "app")
		require.NoError(t, err)
		require.NoError(t, os.RemoveAll(filepath.Join(folder, "layers")))
		layers, err := s.Pull(t.Context(), "app")
		require.NoError(t, err)
		require.FileExists(t, filepath.Join(layers[0], "file"))
	})
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount and to make device nodes")
	}
}

// memory mounts a file system of so many KiB.
func memory(t *testing.T, kib string) string {
	t.Helper()
	needRoot(t)
	folder := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", folder, "tmpfs", 0, "size="+kib+"k"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(folder, 0)) })
	return folder
}

func TestPullWithoutRoom(t *testing.T) {
	folder := memory(t, "512")
	r := newTestRegistry(t)
	r.push(t, "large", layer(t, "file", strings.Repeat("a large file ", 100_000)))
	r.push(t, "small", layer(t, "file", "small"))
	s := r.store(folder)
	_, err := s.Pull(t.Context(), "large")
	require.ErrorIs(t, err, unix.ENOSPC)
	require.ErrorContains(t, err, "failed to pull image large")
	_, err = s.Pull(t.Context(), "small")
	require.NoError(t, err, "the room is free again")
}

func TestMount(t *testing.T) {
	folder := memory(t, "4096")
	r := newTestRegistry(t)
	r.push(t, "app", layer(t, "etc/kept", "kept", "etc/gone", "gone", "opaque/below", "below"),
		layer(t, "etc/.wh.gone", "", "opaque/.wh..wh..opq", "", "opaque/above", "above"))
	s := r.store(folder)
	layers, err := s.Pull(t.Context(), "app")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "rootfs")
	root, err := s.Mount(layers, "container", path)
	require.NoError(t, err)

	require.FileExists(t, filepath.Join(path, "etc/kept"))
	require.NoFileExists(t, filepath.Join(path, "etc/gone"), "a whiteout hides a file")
	require.FileExists(t, filepath.Join(path, "opaque/above"))
	require.NoFileExists(t, filepath.Join(path, "opaque/below"), "an opaque folder hides all below")

	require.NoError(t, os.WriteFile(filepath.Join(path, "written"), []byte("by the container"), 0o600))
	require.FileExists(t, filepath.Join(folder, "overlay/container/upperdir/written"), "on the work folder's file system")
	require.NoError(t, root.Unmount())
	require.NoDirExists(t, filepath.Join(folder, "overlay/container"))
	require.DirExists(t, layers[0], "layers stay")
}
