// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// nameAnnotation is the OCI's for an image's name in a layout.
const nameAnnotation = "org.opencontainers.image.ref.name"

// newImage makes an image of layers, the lowest first.
func newImage(layerFiles, command []string) (v1.Image, error) {
	var layers []v1.Layer
	// The library's own level, the fastest, misses what repeats in a pattern.
	for _, file := range layerFiles {
		layer, err := tarball.LayerFromFile(file, tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithCompressedCaching)
		if err != nil {
			return nil, fmt.Errorf("making a layer: %w", err)
		}
		layers = append(layers, layer)
	}
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return nil, fmt.Errorf("making the image: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("making the image: %w", err)
	}
	file = file.DeepCopy()
	file.Architecture, file.OS = "amd64", "linux"
	file.Config.Cmd = command
	file.Config.Env = []string{"PATH=/bin"}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		return nil, fmt.Errorf("making the image: %w", err)
	}
	return image, nil
}

func writeArchive(path, fullName string, image v1.Image) error {
	tag, err := name.NewTag(fullName)
	if err != nil {
		return fmt.Errorf("name of the image: %w", err)
	}
	if err := tarball.WriteToFile(path, tag, image); err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	return nil
}

func addToLayout(folder, fullName string, image v1.Image) error {
	path, err := layout.FromPath(folder)
	if errors.Is(err, fs.ErrNotExist) {
		path, err = layout.Write(folder, empty.Index)
	}
	if err == nil {
		err = path.AppendImage(image, layout.WithAnnotations(map[string]string{nameAnnotation: fullName}))
	}
	if err != nil {
		return fmt.Errorf("adding the image to %s: %w", folder, err)
	}
	return nil
}
