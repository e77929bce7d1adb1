// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Busybox is the image that containers run unless they say otherwise.
const Busybox = "docker.io/library/busybox:latest"

// TrustedStore is the path that asks for a store.
const TrustedStore = "/dev/trusted_store"

// Device is a host device in a container.
type Device struct {
	Host      string
	Container string
	// Permissions are the kubelet's "mrw" where empty.
	Permissions string
}

// ContainerSpec is what differs between containers.
type ContainerSpec struct {
	Name string
	// Image is Busybox where empty.
	Image string
	// Command is a long sleep where empty.
	Command []string
	Env     map[string]string
	Devices []Device
	TTY     bool
	Stdin   bool
	// Attempt counts the kubelet's tries.
	Attempt uint32
}

// Container is one that was created.
type Container struct {
	ID      string
	pod     *Pod
	logPath string
}

// Create creates a container as the kubelet does. Kata's own create comes with
// Start, when containerd makes the task.
func (p *Pod) Create(ctx context.Context, spec ContainerSpec) (*Container, error) {
	ctx, cancel := context.WithTimeout(ctx, podLimit)
	defer cancel()
	config := p.containerConfig(spec)
	answer, err := p.containerd.runtime.CreateContainer(ctx, &runtime.CreateContainerRequest{
		PodSandboxId: p.ID, Config: config, SandboxConfig: p.Config,
	})
	if err != nil {
		return nil, fmt.Errorf("creating container %s: %w", spec.Name, err)
	}
	return &Container{ID: answer.ContainerId, pod: p, logPath: filepath.Join(p.Config.LogDirectory, config.LogPath)}, nil
}

// Run creates and starts a container. A container that could not be started is
// removed, as the kubelet does before it tries again.
func (p *Pod) Run(ctx context.Context, spec ContainerSpec) (*Container, error) {
	c, err := p.Create(ctx, spec)
	if err != nil {
		return nil, err
	}
	if err := c.Start(ctx); err != nil {
		if removed := c.Remove(ctx); removed != nil {
			return nil, fmt.Errorf("%w; %w", err, removed)
		}
		return nil, err
	}
	return c, nil
}

// StartContainer is Run for tests that need the container.
func (p *Pod) StartContainer(t testing.TB, spec ContainerSpec) *Container {
	t.Helper()
	started := time.Now()
	c, err := p.Run(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("container %s runs after %.1f s", spec.Name, time.Since(started).Seconds())
	return c
}

func (p *Pod) containerConfig(spec ContainerSpec) *runtime.ContainerConfig {
	image := spec.Image
	if image == "" {
		image = Busybox
	}
	command := spec.Command
	if len(command) == 0 {
		command = []string{"sleep", "100000"}
	}
	labels := map[string]string{"io.kubernetes.container.name": spec.Name}
	for key, value := range p.Config.Labels {
		labels[key] = value
	}
	config := &runtime.ContainerConfig{
		Metadata: &runtime.ContainerMetadata{Name: spec.Name, Attempt: spec.Attempt},
		Image:    &runtime.ImageSpec{Image: image, UserSpecifiedImage: image},
		Command:  command,
		LogPath:  filepath.Join(spec.Name, fmt.Sprintf("%d.log", spec.Attempt)),
		Labels:   labels,
		Stdin:    spec.Stdin,
		Tty:      spec.TTY,
		Linux: &runtime.LinuxContainerConfig{
			Resources: &runtime.LinuxContainerResources{CpuPeriod: 100000, CpuShares: 2, OomScoreAdj: 1000},
			SecurityContext: &runtime.LinuxContainerSecurityContext{
				NamespaceOptions: p.Config.Linux.SecurityContext.NamespaceOptions,
				RunAsUser:        &runtime.Int64Value{},
				Seccomp:          &runtime.SecurityProfile{ProfileType: runtime.SecurityProfile_Unconfined},
				MaskedPaths:      []string{"/proc/kcore", "/proc/keys"},
				ReadonlyPaths:    []string{"/proc/sys"},
			},
		},
	}
	for key, value := range spec.Env {
		config.Envs = append(config.Envs, &runtime.KeyValue{Key: key, Value: value})
	}
	for _, device := range spec.Devices {
		permissions := device.Permissions
		if permissions == "" {
			permissions = "mrw"
		}
		config.Devices = append(config.Devices, &runtime.Device{HostPath: device.Host, ContainerPath: device.Container, Permissions: permissions})
	}
	return config
}

// Start starts it.
func (c *Container) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, podLimit)
	defer cancel()
	if _, err := c.pod.containerd.runtime.StartContainer(ctx, &runtime.StartContainerRequest{ContainerId: c.ID}); err != nil {
		return fmt.Errorf("starting container %s: %w", c.ID, err)
	}
	return nil
}

// Stop sends SIGTERM, and SIGKILL after so many seconds.
func (c *Container) Stop(ctx context.Context, seconds int64) error {
	ctx, cancel := context.WithTimeout(ctx, podLimit)
	defer cancel()
	if _, err := c.pod.containerd.runtime.StopContainer(ctx, &runtime.StopContainerRequest{ContainerId: c.ID, Timeout: seconds}); err != nil {
		return fmt.Errorf("stopping container %s: %w", c.ID, err)
	}
	return nil
}

// Remove removes it, running or not.
func (c *Container) Remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, podLimit)
	defer cancel()
	if _, err := c.pod.containerd.runtime.RemoveContainer(ctx, &runtime.RemoveContainerRequest{ContainerId: c.ID}); err != nil {
		return fmt.Errorf("removing container %s: %w", c.ID, err)
	}
	return nil
}

// Status is containerd's view of it.
func (c *Container) Status(ctx context.Context) (*runtime.ContainerStatus, error) {
	answer, err := c.pod.containerd.runtime.ContainerStatus(ctx, &runtime.ContainerStatusRequest{ContainerId: c.ID})
	if err != nil {
		return nil, fmt.Errorf("asking about container %s: %w", c.ID, err)
	}
	return answer.GetStatus(), nil
}

// Stats is what `kubectl top` is made of.
func (c *Container) Stats(ctx context.Context) (*runtime.ContainerStats, error) {
	answer, err := c.pod.containerd.runtime.ContainerStats(ctx, &runtime.ContainerStatsRequest{ContainerId: c.ID})
	if err != nil {
		return nil, fmt.Errorf("asking for the statistics of container %s: %w", c.ID, err)
	}
	return answer.GetStats(), nil
}

// Update changes the container's resources.
func (c *Container) Update(ctx context.Context, resources *runtime.LinuxContainerResources) error {
	if _, err := c.pod.containerd.runtime.UpdateContainerResources(ctx, &runtime.UpdateContainerResourcesRequest{ContainerId: c.ID, Linux: resources}); err != nil {
		return fmt.Errorf("updating container %s: %w", c.ID, err)
	}
	return nil
}

// Exec runs a command in the container.
func (c *Container) Exec(ctx context.Context, command ...string) (*runtime.ExecSyncResponse, error) {
	answer, err := c.pod.containerd.runtime.ExecSync(ctx, &runtime.ExecSyncRequest{ContainerId: c.ID, Cmd: command, Timeout: 60})
	if err != nil {
		return nil, fmt.Errorf("running %q in container %s: %w", command, c.ID, err)
	}
	return answer, nil
}

// Log is what `kubectl logs` shows: the lines that containerd wrote down, each
// with its stream in front ("stdout hello").
func (c *Container) Log() ([]string, error) {
	content, err := os.ReadFile(c.logPath)
	if err != nil {
		return nil, fmt.Errorf("reading the log of container %s: %w", c.ID, err)
	}
	var lines []string
	for line := range strings.Lines(string(content)) {
		// Time, stream, a tag for whole or partial lines, text.
		fields := strings.SplitN(strings.TrimRight(line, "\r\n"), " ", 4)
		if len(fields) != 4 {
			return nil, fmt.Errorf("the log of container %s has the line %q", c.ID, line)
		}
		lines = append(lines, fields[1]+" "+fields[3])
	}
	return lines, nil
}
