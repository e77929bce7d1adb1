// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/pkg/archive"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// unpack writes a layer's files to a folder, whiteouts as overlayfs wants them.
// What the registry sent is compared with the digest in the manifest as it is
// read, and what comes out of it with that in the image's configuration.
func unpack(ctx context.Context, layer v1.Layer, digest v1.Hash, folder string, parents []string) (err error) {
	content, err := layer.Uncompressed()
	if err != nil {
		return fmt.Errorf("pulling: %w", err)
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	sum := sha256.New()
	files := io.TeeReader(content, sum)
	if _, err := archive.Apply(ctx, folder, files, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout), archive.WithParents(parents)); err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	// The end of an archive may be followed by more, which the digest covers.
	if _, err := io.Copy(io.Discard, files); err != nil {
		return fmt.Errorf("pulling: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); digest.Algorithm != "sha256" || got != digest.Hex {
		return fmt.Errorf("the layer's content has digest sha256:%s, the image says %s", got, digest)
	}
	return nil
}
