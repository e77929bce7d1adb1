// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/kata-tes/kata-tes/functional-tests/guest/sandbox"
)

// addStorage makes one of the storages that Kata's runtime asks for, and gives
// the step back where there is one.
func (cs *containers) addStorage(ctx context.Context, id string, storage *agent.Storage) (func() error, error) {
	switch storage.Driver {
	case "image_guest_pull":
		return cs.pull(ctx, id, storage)
	case "ephemeral":
		return nil, sandbox.Ephemeral(storage)
	case "local":
		return nil, sandbox.Local(storage)
	default:
		return nil, errgrpc.ToGRPCf(errdefs.ErrNotImplemented, "the stand-in for kata-agent has no handler for storage %q", storage.Driver)
	}
}

// pull makes a container's root of an image, or for the sandbox of the bundle
// in the guest.
func (cs *containers) pull(ctx context.Context, id string, storage *agent.Storage) (func() error, error) {
	rootfs := filepath.Join(cs.folders.base, id, "rootfs")
	if storage.MountPoint != rootfs {
		return nil, errgrpc.ToGRPCf(errdefs.ErrInvalidArgument, "image on %s instead of %s", storage.MountPoint, rootfs)
	}
	annotations, err := pullMetadata(storage)
	if err != nil {
		return nil, err
	}
	if isSandbox(&specs.Spec{Annotations: annotations}) {
		return nil, copyPause(cs.folders.pause, rootfs)
	}
	layers, err := cs.images.Pull(ctx, storage.Source)
	if err != nil {
		return nil, err
	}
	root, err := cs.images.Mount(layers, id, rootfs)
	if err != nil {
		return nil, err
	}
	return root.Unmount, nil
}

// pullMetadata are the annotations that the runtime sends with an image.
func pullMetadata(storage *agent.Storage) (map[string]string, error) {
	for _, option := range storage.DriverOptions {
		text, ok := strings.CutPrefix(option, "image_guest_pull=")
		if !ok {
			continue
		}
		var volume struct {
			Metadata map[string]string `json:"metadata"`
		}
		if err := json.Unmarshal([]byte(text), &volume); err != nil {
			return nil, fmt.Errorf("reading the image's metadata: %w", err)
		}
		return volume.Metadata, nil
	}
	return nil, errgrpc.ToGRPCf(errdefs.ErrInvalidArgument, "no metadata with image %s", storage.Source)
}

// readPauseProcess is what the sandbox's container runs: the guest's word, not
// the host's.
func readPauseProcess(bundle string) (*specs.Process, error) {
	content, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return nil, fmt.Errorf("reading the pause container's bundle: %w", err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(content, &spec); err != nil {
		return nil, fmt.Errorf("reading the pause container's bundle: %w", err)
	}
	if spec.Process == nil || len(spec.Process.Args) == 0 {
		return nil, errors.New("the pause container's bundle names no program")
	}
	return spec.Process, nil
}

// copyPause copies the one program of the pause container.
func copyPause(bundle, rootfs string) error {
	process, err := readPauseProcess(bundle)
	if err != nil {
		return err
	}
	program := process.Args[0]
	content, err := os.ReadFile(filepath.Join(bundle, "rootfs", program))
	if err == nil {
		err = os.MkdirAll(filepath.Join(rootfs, filepath.Dir(program)), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(rootfs, program), content, 0o755)
	}
	if err != nil {
		return fmt.Errorf("copying the pause container: %w", err)
	}
	return nil
}
