// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Store has the layers that were pulled.
type Store struct {
	root       string
	registries Registries

	// One pull at a time, as in CoCo's data hub: whoever asks for the same
	// image meanwhile finds it there.
	mu sync.Mutex
	// layers has the folder of each layer by its digest when unpacked.
	layers map[v1.Hash]string
	next   int
}

// NewStore is one below a work folder, which is made when it is needed: a
// trusted store may yet be mounted there.
func NewStore(root string, registries Registries) *Store {
	return &Store{root: root, registries: registries, layers: map[v1.Hash]string{}}
}

// Pull pulls an image, unless its layers are there, and gives their folders,
// the lowest first.
func (s *Store) Pull(ctx context.Context, image string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	started := time.Now()
	sources, err := s.registries.sources(image)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, source := range sources {
		folders, err := s.pullFrom(ctx, source)
		if err == nil {
			log.Printf("pulled image %s from %s in %.1f s", image, source, time.Since(started).Seconds())
			return folders, nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", source, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("failed to pull image %s: %w", image, errors.Join(failed...))
}

func (s *Store) pullFrom(ctx context.Context, source name.Reference) ([]string, error) {
	image, err := remote.Image(source, remote.WithContext(ctx), remote.WithUserAgent("kata-tes-standin"))
	if err != nil {
		return nil, fmt.Errorf("pulling the manifest: %w", err)
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	var folders []string
	for i, layer := range layers {
		folder, err := s.layer(ctx, layer, folders)
		if err != nil {
			return nil, fmt.Errorf("layer %d of %d: %w", i+1, len(layers), err)
		}
		folders = append(folders, folder)
	}
	return folders, nil
}

// layer gives the layer's folder, unpacking it if it is not there. A layer that
// can't be unpacked leaves nothing, so that its space is free again.
func (s *Store) layer(ctx context.Context, layer v1.Layer, parents []string) (_ string, err error) {
	digest, err := layer.DiffID()
	if err != nil {
		return "", fmt.Errorf("reading the image's configuration: %w", err)
	}
	if folder, ok := s.layers[digest]; ok {
		if _, err := os.Stat(folder); err == nil {
			return folder, nil
		}
		// The store that had it is gone.
		delete(s.layers, digest)
	}
	folder := filepath.Join(s.root, "layers", strconv.Itoa(s.next))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("making the layer's folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}()
	if err := unpack(ctx, layer, digest, folder, parents); err != nil {
		return "", err
	}
	s.next++
	s.layers[digest] = folder
	return folder, nil
}
