// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"github.com/moby/sys/mountinfo"
	"google.golang.org/protobuf/encoding/protojson"
)

// imageFolders are where images are unpacked in the guest: by the proposal,
// and by Kata since 3.x.
var imageFolders = []string{"/run/image", "/run/kata-containers/image"}

// record is what the stand-in writes down of a CreateContainer: functional
// tests read it back to prove that the store was there before.
type record struct {
	// Number counts the requests from 1.
	Number int `json:"number"`
	// Uptime of the guest in seconds, as /proc/uptime has it.
	Uptime string `json:"uptime"`
	// Mounts on the folders for images at that moment.
	Mounts []mount `json:"mounts"`
	// Request is the CreateContainerRequest as protobuf's JSON.
	Request json.RawMessage `json:"request"`
}

type mount struct {
	Source     string `json:"source"`
	FSType     string `json:"fstype"`
	Mountpoint string `json:"mountpoint"`
	Options    string `json:"options"`
}

// recorder writes records to a folder: 001-<container id>.json and so on.
type recorder struct {
	folder string
	mu     sync.Mutex
	count  int
}

func newRecorder(folder string) (*recorder, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder for records: %w", err)
	}
	return &recorder{folder: folder}, nil
}

func (r *recorder) add(request *agent.CreateContainerRequest) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	rec := record{Number: r.count}
	var err error
	if rec.Request, err = protojson.Marshal(request); err != nil {
		return fmt.Errorf("encoding the request for container %s: %w", request.ContainerId, err)
	}
	if rec.Mounts, err = imageMounts(); err != nil {
		return err
	}
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return fmt.Errorf("reading the uptime: %w", err)
	}
	rec.Uptime, _, _ = strings.Cut(string(uptime), " ")
	content, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("encoding the record of container %s: %w", request.ContainerId, err)
	}
	// filepath.Base: a container's id comes from outside.
	name := fmt.Sprintf("%03d-%s.json", rec.Number, filepath.Base(request.ContainerId))
	if err := os.WriteFile(filepath.Join(r.folder, name), append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing down container %s: %w", request.ContainerId, err)
	}
	return nil
}

func imageMounts() ([]mount, error) {
	found, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		for _, folder := range imageFolders {
			if m.Mountpoint == folder {
				return false, false
			}
		}
		return true, false
	})
	if err != nil {
		return nil, fmt.Errorf("reading the mounts: %w", err)
	}
	mounts := []mount{}
	for _, m := range found {
		mounts = append(mounts, mount{Source: m.Source, FSType: m.FSType, Mountpoint: m.Mountpoint, Options: m.Options})
	}
	return mounts, nil
}
