// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// prefix is where the binaries are in the image; the Helm chart names it too.
const prefix = "/opt/kata-tes/bin"

// architectures that an image is made for, in the index's order. All of arm64's
// variants that Linux runs on are meant, which the platform says by none.
var architectures = []string{"amd64", "arm64"}

// about is what an image says of itself.
type about struct {
	Version string
	Created time.Time
}

// newIndex makes the image of each architecture, from folder/<architecture>.
func newIndex(folder string, a about) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range architectures {
		image, err := newImage(filepath.Join(folder, arch), arch, a)
		if err != nil {
			return nil, fmt.Errorf("making the image for %s: %w", arch, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return index, nil
}

func newImage(folder, arch string, a about) (v1.Image, error) {
	layer, err := newLayer(folder, a.Created)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.Append(image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: a.Created}, CreatedBy: "kata-tes: make image"},
	}); err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", arch, v1.Time{Time: a.Created}
	file.Config = v1.Config{
		Entrypoint: []string{prefix + "/kata-tes"},
		Env:        []string{"PATH=" + prefix},
		// Setting a node up is root's work. What is not is run with another user
		// by the pod that runs it (configs/helm).
		User: "0:0",
		Labels: map[string]string{
			"org.opencontainers.image.title":    "kata-tes",
			"org.opencontainers.image.version":  a.Version,
			"org.opencontainers.image.licenses": "Apache-2.0",
			"org.opencontainers.image.source":   "https://github.com/kata-tes/kata-tes",
		},
	}
	return mutate.ConfigFile(image, file)
}

// programs lists the binaries of one architecture, by name.
func programs(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("reading the binaries (make release builds them): %w", err)
	}
	var names []string
	for _, entry := range entries {
		if !entry.Type().IsRegular() {
			return nil, fmt.Errorf("%s is no file: nothing but binaries belongs into the image", filepath.Join(folder, entry.Name()))
		}
		names = append(names, entry.Name())
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no binaries: make release builds them", folder)
	}
	return names, nil
}
