// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// writeLayout writes the image as an OCI layout. A layout that is there is
// replaced, and nothing else: a folder that is none is left alone.
func writeLayout(folder string, index v1.ImageIndex) error {
	if entries, err := os.ReadDir(folder); err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(folder, "oci-layout")); err != nil {
			return fmt.Errorf("%s is there and no OCI layout: name another folder, or remove it", folder)
		}
	}
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("removing the former image: %w", err)
	}
	path, err := layout.Write(folder, empty.Index)
	if err == nil {
		err = path.AppendIndex(index)
	}
	if err != nil {
		return fmt.Errorf("writing the image to %s: %w", folder, err)
	}
	return nil
}

// parseName takes a name to push to, with its registry and tag.
func parseName(to string) (name.Tag, error) {
	tag, err := name.NewTag(to, name.StrictValidation)
	if err != nil {
		return name.Tag{}, fmt.Errorf("the image's name (such as registry.example.com/kata-tes:v1.2.3): %w", err)
	}
	return tag, nil
}

// pushIndex uploads the image, each architecture's first, so that the name never
// leads to something that is only half there.
func pushIndex(ctx context.Context, to name.Tag, index v1.ImageIndex) error {
	if err := remote.WriteIndex(to, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("pushing %s: %w", to, err)
	}
	return nil
}
