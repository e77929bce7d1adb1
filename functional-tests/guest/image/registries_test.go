// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSources(t *testing.T) {
	registries := Registries{Registries: []Registry{
		{Prefix: "docker.io", Mirrors: []Location{{Location: "10.0.2.15:5000", Insecure: true}}},
		{Prefix: "docker.io/library", Location: "other.example/copies", Mirrors: []Location{{Location: "mirror.example/hub"}}},
		{Location: "quay.io", Insecure: true},
	}}
	const digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for image, expected := range map[string][]string{
		"docker.io/team/app:1":                {"10.0.2.15:5000/team/app:1", "index.docker.io/team/app:1"},
		"team/app@" + digest:                  {"10.0.2.15:5000/team/app@" + digest, "index.docker.io/team/app@" + digest},
		"busybox":                             {"mirror.example/hub/busybox:latest", "other.example/copies/busybox:latest"},
		"docker.io/library/busybox:1.36":      {"mirror.example/hub/busybox:1.36", "other.example/copies/busybox:1.36"},
		"docker.io/library2/app:1":            {"10.0.2.15:5000/library2/app:1", "index.docker.io/library2/app:1"},
		"quay.io/team/app":                    {"quay.io/team/app:latest"},
		"registry.example:5000/deep/er/app:2": {"registry.example:5000/deep/er/app:2"},
	} {
		t.Run(image, func(t *testing.T) {
			sources, err := registries.sources(image)
			require.NoError(t, err)
			var names []string
			for _, source := range sources {
				names = append(names, source.Name())
			}
			require.Equal(t, expected, names)
		})
	}

	t.Run("insecure is the location's", func(t *testing.T) {
		sources, err := registries.sources("team/app")
		require.NoError(t, err)
		require.Equal(t, "http", sources[0].Context().Scheme())
		require.Equal(t, "https", sources[1].Context().Scheme())
	})
	t.Run("no image", func(t *testing.T) {
		_, err := registries.sources("UPPER/../case")
		require.ErrorContains(t, err, "illegal image reference")
	})
}

func TestReadRegistries(t *testing.T) {
	r, err := ReadRegistries("../root/etc/containers/registries.conf")
	require.NoError(t, err)
	require.Equal(t, []Registry{{Prefix: "docker.io", Location: "docker.io", Mirrors: []Location{{Location: "10.0.2.15:5000", Insecure: true}}}}, r.Registries)

	path := filepath.Join(t.TempDir(), "registries.conf")
	r, err = ReadRegistries(path)
	require.NoError(t, err, "no file: every registry is itself")
	require.Empty(t, r.Registries)
	require.NoError(t, os.WriteFile(path, []byte("[[registry"), 0o600))
	_, err = ReadRegistries(path)
	require.ErrorContains(t, err, path)
}

func FuzzRegistries(f *testing.F) {
	f.Add("docker.io", "library/busybox")
	f.Add("docker.io/library", "busybox@sha256:0")
	f.Fuzz(func(t *testing.T, prefix, image string) {
		sources, err := Registries{Registries: []Registry{{Prefix: prefix, Mirrors: []Location{{Location: "mirror.example"}}}}}.sources(image)
		if err == nil {
			require.NotEmpty(t, sources)
		}
	})
}
