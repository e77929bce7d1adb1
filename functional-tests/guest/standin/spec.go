// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// toOCI turns a message of Kata's protocol into its OCI counterpart. Kata made
// the message by copying fields of the same name, so their names agree but for
// case, which encoding/json does not mind; what is zero is absent in both.
func toOCI(message, oci any) error {
	content, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encoding %T: %w", message, err)
	}
	if err := json.Unmarshal(content, oci); err != nil {
		return fmt.Errorf("making a %T of what Kata sent: %w", oci, err)
	}
	return nil
}

func toSpec(message *agent.Spec) (*specs.Spec, error) {
	spec := &specs.Spec{}
	if err := toOCI(message, spec); err != nil {
		return nil, err
	}
	// The one name that differs.
	spec.Version = message.GetVersion()
	// Kata always sends these; what follows relies on it.
	if spec.Process == nil || spec.Root == nil || spec.Linux == nil {
		return nil, fmt.Errorf("the container's specification lacks process, root or linux")
	}
	// Profiles of the host's AppArmor mean nothing in the guest.
	spec.Process.ApparmorProfile = ""
	return spec, nil
}

// takeNetworkParameters takes net.* out of the specification: the container
// has no network namespace, its network is the guest's.
func takeNetworkParameters(spec *specs.Spec) map[string]string {
	network := map[string]string{}
	for key, value := range spec.Linux.Sysctl {
		if strings.HasPrefix(key, "net.") {
			network[key] = value
		}
	}
	maps.DeleteFunc(spec.Linux.Sysctl, func(key, _ string) bool { return strings.HasPrefix(key, "net.") })
	return network
}

// joinNamespaces puts the container into the pod's namespaces. A process
// namespace of its own it has unless the pod shares one.
func joinNamespaces(spec *specs.Spec, ipc, uts, pid string) {
	for i, namespace := range spec.Linux.Namespaces {
		switch namespace.Type {
		case specs.IPCNamespace:
			spec.Linux.Namespaces[i].Path = ipc
		case specs.UTSNamespace:
			spec.Linux.Namespaces[i].Path = uts
		}
	}
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.PIDNamespace, Path: pid})
}

// isSandbox says whether it is the pod's own container.
func isSandbox(spec *specs.Spec) bool {
	return spec.Annotations["io.kubernetes.cri.container-type"] == "sandbox" ||
		spec.Annotations["io.kubernetes.cri-o.ContainerType"] == "sandbox"
}
