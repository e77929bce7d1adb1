// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
)

// imageConfig is the part of an OCI image configuration that is needed here.
type imageConfig struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       struct {
		Cmd []string
		Env []string
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// manifestEntry is one image in the manifest.json of `docker save`.
type manifestEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func writeImage(path, name string, command []string, layer []byte) error {
	digest := sha256.Sum256(layer)
	var config imageConfig
	config.Architecture, config.OS = "amd64", "linux"
	config.Config.Cmd = command
	config.Config.Env = []string{"PATH=/bin"}
	config.RootFS.Type = "layers"
	config.RootFS.DiffIDs = []string{"sha256:" + hex.EncodeToString(digest[:])}
	configJSON, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("encoding the configuration: %w", err)
	}
	manifest, err := json.Marshal([]manifestEntry{{Config: "config.json", RepoTags: []string{name}, Layers: []string{"layer.tar"}}})
	if err != nil {
		return fmt.Errorf("encoding the manifest: %w", err)
	}

	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, file := range []struct {
		name    string
		content []byte
	}{{"layer.tar", layer}, {"config.json", configJSON}, {"manifest.json", manifest}} {
		if err := writeFile(w, file.name, 0o644, file.content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("ending the image: %w", err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the image: %w", err)
	}
	return nil
}
