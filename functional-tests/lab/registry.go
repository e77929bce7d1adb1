// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
	"golang.org/x/sys/unix"
)

// RegistryAddress is where guests, containerd and the kubelet find images: on
// the node's own address, which pods reach over their CNI network.
const RegistryAddress = "10.0.2.15:5000"

// Registry is a container registry in the node, Debian's docker-registry, with
// the images that the payload brings. The node's containerd and the guests are
// configured to take images of docker.io from it.
type Registry struct {
	folder string
	log    *os.File
	cmd    *exec.Cmd
	ended  chan struct{}
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
	r := &Registry{ended: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("starting the registry: %w", err), r.Stop())
		}
	}()
	if err := os.MkdirAll(Logs, 0o755); err != nil {
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
	if r.log, err = os.OpenFile(filepath.Join(Logs, "registry.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command("docker-registry", "serve", config)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r.cmd = cmd
	go func() {
		// Its exit status is in its log; that it ended is what counts.
		_ = cmd.Wait()
		close(r.ended)
	}()
	if err := r.awaitReady(); err != nil {
		return nil, err
	}
	return r, r.fill(payload + "/registry")
}

func (r *Registry) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyLimit)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+RegistryAddress+"/v2/", nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			return answer.Body.Close()
		}
		select {
		case <-r.ended:
			return fmt.Errorf("docker-registry ended at once; %s has the reason", r.log.Name())
		case <-ctx.Done():
			return fmt.Errorf("docker-registry does not answer after %v: %w", readyLimit, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

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
	if r.cmd != nil {
		if killed := r.cmd.Process.Signal(unix.SIGKILL); killed != nil && !errors.Is(killed, os.ErrProcessDone) {
			err = killed
		}
		<-r.ended
	}
	if r.log != nil {
		err = errors.Join(err, r.log.Close())
	}
	if r.folder != "" {
		err = errors.Join(err, os.RemoveAll(r.folder))
	}
	return err
}
