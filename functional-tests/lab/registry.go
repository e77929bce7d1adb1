// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// RegistryAddress is where guests, containerd and the kubelet find images: on
// the node's own address, which pods reach over their CNI network.
const RegistryAddress = "10.0.2.15:5000"

// Registry is a container registry in the node, Debian's docker-registry, with
// the images that the payload brings. The node's containerd and the guests are
// configured to take images of docker.io from it.
type Registry struct {
	*service
	folder string
}

// StartRegistry starts one and stops it when the test ends.
func StartRegistry(t testing.TB) *Registry {
	t.Helper()
	NeedNode(t)
	started := time.Now()
	r, err := NewRegistry()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Errorf("stopping the registry: %v", err)
		}
	})
	t.Logf("the registry is ready after %.1f s", time.Since(started).Seconds())
	return r
}

const registryConfig = `version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: %s}
http: {addr: %s}
`

// NewRegistry starts one and fills it. Stop must be called.
func NewRegistry() (_ *Registry, err error) {
	r := &Registry{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("starting the registry: %w", err), r.Stop())
		}
	}()
	if r.service, err = newService("registry"); err != nil {
		return nil, err
	}
	// Not in the temporary folder: that is memory.
	if r.folder, err = os.MkdirTemp("/var/lib", "tes-registry-"); err != nil {
		return nil, err
	}
	config := filepath.Join(r.folder, "config.yml")
	if err := writeFile(config, fmt.Appendf(nil, registryConfig, filepath.Join(r.folder, "data"), RegistryAddress)); err != nil {
		return nil, err
	}
	if err := r.start(exec.Command("docker-registry", "serve", config), registryReady); err != nil {
		return nil, err
	}
	return r, r.fill(payload + "/registry")
}

func registryReady(ctx context.Context) error { return httpOK(ctx, "http://"+RegistryAddress+"/v2/") }

// fill pushes all images of a layout.
func (r *Registry) fill(folder string) error {
	return eachImage(folder, r.push)
}

// Add pushes one of the images that only some tests need (parts/payload.sh).
func (r *Registry) Add(fullName string) error {
	found := false
	err := eachImage(payload+"/registry-more", func(name string, image v1.Image) error {
		if name != fullName {
			return nil
		}
		found = true
		return r.push(name, image)
	})
	if err == nil && !found {
		err = fmt.Errorf("the payload has no image %s", fullName)
	}
	return err
}

// eachImage calls do with the images of an OCI layout and their names.
func eachImage(folder string, do func(fullName string, image v1.Image) error) error {
	path, err := layout.FromPath(folder)
	if err != nil {
		return fmt.Errorf("reading the payload's images: %w", err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		return fmt.Errorf("reading the payload's images: %w", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return fmt.Errorf("reading the payload's images: %w", err)
	}
	for _, entry := range manifest.Manifests {
		image, err := index.Image(entry.Digest)
		if err != nil {
			return fmt.Errorf("reading the payload's images: %w", err)
		}
		if err := do(entry.Annotations["org.opencontainers.image.ref.name"], image); err != nil {
			return err
		}
	}
	return nil
}

// push makes an image known under its name at docker.io.
func (r *Registry) push(fullName string, image v1.Image) error {
	rest, ok := strings.CutPrefix(fullName, "docker.io/")
	if !ok {
		return fmt.Errorf("image %q is not one of docker.io", fullName)
	}
	reference, err := name.ParseReference(RegistryAddress+"/"+rest, name.Insecure)
	if err != nil {
		return fmt.Errorf("image %s: %w", fullName, err)
	}
	if err := remote.Write(reference, image); err != nil {
		return fmt.Errorf("pushing %s: %w", fullName, err)
	}
	return nil
}

// Stop ends it and removes its images.
func (r *Registry) Stop() error {
	var err error
	if r.service != nil {
		err = r.close()
	}
	if r.folder != "" {
		err = errors.Join(err, os.RemoveAll(r.folder))
	}
	return err
}
