// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package ocispec is what a bundle's config.json says about the trusted store:
// whether the container asks for it, by which block device, and the same file
// without it.
//
// Everything else in the file is the runtime's: it is passed byte for byte, and
// what the host has under the device's number is left to package hostdev.
package ocispec

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrMalformed says that config.json is not an OCI runtime specification.
var ErrMalformed = errors.New("config.json is not a container specification")

const configFile = "config.json"

// Annotations by which CRI implementations say that a container is the pod's
// sandbox: containerd's (internal/cri/annotations) and CRI-O's.
var sandboxAnnotations = map[string]string{
	"io.kubernetes.cri.container-type":  "sandbox",
	"io.kubernetes.cri-o.ContainerType": "sandbox",
}

// nameAnnotations have the container's name in its pod: containerd's, and the
// kubelet's label, which CRI-O makes an annotation of.
var nameAnnotations = []string{"io.kubernetes.cri.container-name", "io.kubernetes.container.name"}

// podAnnotations have the pod's namespace and name: containerd's, and the
// kubelet's labels, which CRI-O makes annotations of.
var podAnnotations = [][2]string{
	{"io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri.sandbox-name"},
	{"io.kubernetes.pod.namespace", "io.kubernetes.pod.name"},
}

// Pod is a pod's name in Kubernetes.
type Pod struct{ Namespace, Name string }

// Spec is a bundle's config.json as it was read.
type Spec struct {
	path string
	raw  []byte
	content
}

// content is the part of the runtime specification (config-linux.md) that
// matters here. What isn't named is not even decoded.
type content struct {
	Annotations map[string]string `json:"annotations"`
	Mounts      []struct {
		Destination string `json:"destination"`
	} `json:"mounts"`
	Linux struct {
		Devices   []device `json:"devices"`
		Resources struct {
			Devices []rule `json:"devices"`
		} `json:"resources"`
	} `json:"linux"`
}

// device is an entry of linux.devices. A number that is missing is not zero.
type device struct {
	Path  string `json:"path"`
	Type  string `json:"type"`
	Major *int64 `json:"major"`
	Minor *int64 `json:"minor"`
}

// rule is an entry of linux.resources.devices, the device cgroup's list. A
// number that is missing means all.
type rule struct {
	Allow  bool   `json:"allow"`
	Type   string `json:"type"`
	Major  *int64 `json:"major"`
	Minor  *int64 `json:"minor"`
	Access string `json:"access"`
}

// Read reads the config.json of a bundle. Its error is fs.ErrNotExist where
// there is none and ErrMalformed where it can't be understood.
func Read(bundle string) (*Spec, error) {
	path := filepath.Join(bundle, configFile)
	raw, err := os.ReadFile(path) //nolint:gosec // containerd says where the bundle is
	if err != nil {
		return nil, fmt.Errorf("reading the container's specification: %w", err)
	}
	return parse(path, raw)
}

func parse(path string, raw []byte) (*Spec, error) {
	s := &Spec{path: path, raw: raw}
	if err := json.Unmarshal(raw, &s.content); err != nil {
		return nil, fmt.Errorf("%w: %s (look for what changes it after containerd, such as an NRI plugin): %w", ErrMalformed, path, err)
	}
	return s, nil
}

// IsSandbox says whether the container is the pod's sandbox, for which the
// runtime makes the virtual machine.
func (s *Spec) IsSandbox() bool {
	for name, value := range sandboxAnnotations {
		if s.Annotations[name] == value {
			return true
		}
	}
	return false
}

// Name is what the pod calls the container; empty where it has no name.
func (s *Spec) Name() string {
	for _, annotation := range nameAnnotations {
		if name := s.Annotations[annotation]; name != "" {
			return name
		}
	}
	return ""
}

// Pod is the pod that the container is part of; empty where nobody says.
func (s *Spec) Pod() Pod {
	for _, annotation := range podAnnotations {
		if name := s.Annotations[annotation[1]]; name != "" {
			return Pod{Namespace: s.Annotations[annotation[0]], Name: name}
		}
	}
	return Pod{}
}
