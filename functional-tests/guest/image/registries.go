// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/pelletier/go-toml/v2"
)

// Registries say where images come from: the guest's part of
// containers-registries.conf(5), version 2.
type Registries struct {
	Registries []Registry `toml:"registry"`
}

// Registry is one [[registry]] of the file.
type Registry struct {
	// Prefix of image names that it is about; Location where empty.
	Prefix string `toml:"prefix"`
	// Location replaces the prefix; Prefix where empty.
	Location string     `toml:"location"`
	Insecure bool       `toml:"insecure"`
	Mirrors  []Location `toml:"mirror"`
}

// Location is a [[registry.mirror]]: it is tried before the registry.
type Location struct {
	Location string `toml:"location"`
	Insecure bool   `toml:"insecure"`
}

// ReadRegistries reads the file; without one, every registry is itself.
func ReadRegistries(path string) (Registries, error) {
	var r Registries
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("reading the guest's registries: %w", err)
	}
	if err := toml.Unmarshal(content, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// sources are the names under which an image is looked for, in order.
func (r Registries) sources(image string) ([]name.Reference, error) {
	reference, err := name.ParseReference(image)
	if err != nil {
		return nil, fmt.Errorf("illegal image reference %q: %w", image, err)
	}
	full := fullName(reference)
	registry, ok := r.match(full)
	if !ok {
		return []name.Reference{reference}, nil
	}
	rest := strings.TrimPrefix(full, registry.prefix())
	var sources []name.Reference
	for _, location := range append(registry.Mirrors, Location{registry.location(), registry.Insecure}) {
		options := []name.Option{}
		if location.Insecure {
			options = append(options, name.Insecure)
		}
		source, err := name.ParseReference(location.Location+rest, options...)
		if err != nil {
			return nil, fmt.Errorf("image %s at %s: %w", image, location.Location, err)
		}
		sources = append(sources, source)
	}
	return sources, nil
}

// match finds the longest prefix, which ends where a part of the name does.
func (r Registries) match(full string) (best Registry, found bool) {
	for _, registry := range r.Registries {
		prefix := registry.prefix()
		rest, ok := strings.CutPrefix(full, prefix)
		if ok && prefix != "" && (rest == "" || strings.ContainsAny(rest[:1], "/:@")) && (!found || len(prefix) > len(best.prefix())) {
			best, found = registry, true
		}
	}
	return best, found
}

func (r Registry) prefix() string {
	if r.Prefix == "" {
		return r.Location
	}
	return r.Prefix
}

func (r Registry) location() string {
	if r.Location == "" {
		return r.Prefix
	}
	return r.Location
}

// fullName has the host, and a tag or digest. Docker Hub's host is docker.io
// everywhere but in the library that parses names.
func fullName(reference name.Reference) string {
	host := reference.Context().RegistryStr()
	if host == name.DefaultRegistry {
		host = "docker.io"
	}
	separator := ":"
	if _, ok := reference.(name.Digest); ok {
		separator = "@"
	}
	return host + "/" + reference.Context().RepositoryStr() + separator + reference.Identifier()
}
