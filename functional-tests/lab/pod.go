// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// podLimit bounds each call about a pod: an emulated one starts in 8 to 16 s,
// and an image of half a gigabyte takes one to two minutes.
const podLimit = 6 * time.Minute

// PodSpec is what differs between pods.
type PodSpec struct {
	Name    string
	Handler string
	// Annotations of the pod, beside those that the kubelet sets.
	Annotations map[string]string
	// HostNetwork leaves out the network of its own.
	HostNetwork bool
}

// Pod is a sandbox that runs.
type Pod struct {
	ID     string
	Config *runtime.PodSandboxConfig

	containerd *Containerd
}

// RunPod makes a sandbox as the kubelet does. Remove must be called.
func (c *Containerd) RunPod(ctx context.Context, spec PodSpec) (*Pod, error) {
	config := sandboxConfig(spec)
	ctx, cancel := context.WithTimeout(ctx, podLimit)
	defer cancel()
	answer, err := c.runtime.RunPodSandbox(ctx, &runtime.RunPodSandboxRequest{Config: config, RuntimeHandler: spec.Handler})
	if err != nil {
		return nil, fmt.Errorf("running pod %s with %s: %w", spec.Name, spec.Handler, err)
	}
	return &Pod{ID: answer.PodSandboxId, Config: config, containerd: c}, nil
}

// StartPod is RunPod for tests that need the pod: removed when the test ends.
func (c *Containerd) StartPod(t testing.TB, spec PodSpec) *Pod {
	t.Helper()
	started := time.Now()
	pod, err := c.RunPod(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("pod %s (%s) runs after %.1f s: sandbox %s", spec.Name, spec.Handler, time.Since(started).Seconds(), pod.ID)
	t.Cleanup(func() {
		if err := pod.Remove(context.Background()); err != nil {
			t.Errorf("removing pod %s: %v", spec.Name, err)
		}
	})
	return pod
}

// sandboxConfig has what the kubelet puts into it.
func sandboxConfig(spec PodSpec) *runtime.PodSandboxConfig {
	uid := newUID()
	network := runtime.NamespaceMode_POD
	if spec.HostNetwork {
		network = runtime.NamespaceMode_NODE
	}
	annotations := map[string]string{"kubernetes.io/config.seen": time.Now().Format(time.RFC3339Nano), "kubernetes.io/config.source": "api"}
	for key, value := range spec.Annotations {
		annotations[key] = value
	}
	return &runtime.PodSandboxConfig{
		Metadata:     &runtime.PodSandboxMetadata{Name: spec.Name, Namespace: "default", Uid: uid},
		Hostname:     spec.Name,
		LogDirectory: fmt.Sprintf("/var/log/pods/default_%s_%s", spec.Name, uid),
		DnsConfig:    &runtime.DNSConfig{},
		Labels: map[string]string{
			"io.kubernetes.pod.name": spec.Name, "io.kubernetes.pod.namespace": "default", "io.kubernetes.pod.uid": uid,
		},
		Annotations: annotations,
		Linux: &runtime.LinuxPodSandboxConfig{
			CgroupParent: "/kubepods/besteffort/pod" + uid,
			SecurityContext: &runtime.LinuxSandboxSecurityContext{
				NamespaceOptions: &runtime.NamespaceOption{Network: network, Pid: runtime.NamespaceMode_CONTAINER},
				Seccomp:          &runtime.SecurityProfile{ProfileType: runtime.SecurityProfile_RuntimeDefault},
			},
			Resources: &runtime.LinuxContainerResources{CpuPeriod: 100000, CpuShares: 2},
		},
	}
}

func newUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Stop stops the sandbox and what runs in it. Like the kubelet, it tries again
// where containerd's patience with a task's state (two seconds) ends first: Kata
// says no state while it creates a container.
func (p *Pod) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, podLimit)
	defer cancel()
	for {
		_, err := p.containerd.runtime.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: p.ID})
		if err == nil || status.Code(err) == codes.NotFound {
			return nil
		}
		if status.Code(err) != codes.DeadlineExceeded || ctx.Err() != nil {
			return fmt.Errorf("stopping sandbox %s: %w", p.ID, err)
		}
	}
}

// RemoveSandbox stops and removes the sandbox; one that is gone is removed.
func (p *Pod) RemoveSandbox(ctx context.Context) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, podLimit)
	defer cancel()
	if _, err := p.containerd.runtime.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: p.ID}); err != nil {
		return fmt.Errorf("removing sandbox %s: %w", p.ID, err)
	}
	return nil
}

// Remove is RemoveSandbox, and removes the pod's cgroup, which no process may be
// in any more.
func (p *Pod) Remove(ctx context.Context) error {
	if err := p.RemoveSandbox(ctx); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	return removeCgroup(waiting, filepath.Join("/sys/fs/cgroup", p.Config.Linux.CgroupParent))
}

// removeCgroup removes the pod's cgroup, which is the kubelet's to remove, with
// what the runtime left in it. Processes that are about to end keep it busy.
func removeCgroup(ctx context.Context, folder string) error {
	for {
		err := removeFolders(folder)
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// removeFolders removes a cgroup and those in it, from the bottom up; their
// files go by themselves.
func removeFolders(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing the pod's cgroup: %w", err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeFolders(filepath.Join(folder, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(folder); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing the pod's cgroup %s: %w", folder, err)
	}
	return nil
}

// Ready says whether containerd takes the sandbox for running.
func (p *Pod) Ready(ctx context.Context) (bool, error) {
	answer, err := p.containerd.runtime.PodSandboxStatus(ctx, &runtime.PodSandboxStatusRequest{PodSandboxId: p.ID})
	if err != nil {
		return false, fmt.Errorf("asking about sandbox %s: %w", p.ID, err)
	}
	return answer.GetStatus().GetState() == runtime.PodSandboxState_SANDBOX_READY, nil
}

// sandboxOf finds the sandbox that runs for a pod of the kubelet's.
func (c *Containerd) sandboxOf(ctx context.Context, uid string) (*Pod, error) {
	answer, err := c.runtime.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{Filter: &runtime.PodSandboxFilter{
		State:         &runtime.PodSandboxStateValue{State: runtime.PodSandboxState_SANDBOX_READY},
		LabelSelector: map[string]string{"io.kubernetes.pod.uid": uid},
	}})
	if err != nil {
		return nil, fmt.Errorf("looking for the sandbox of pod %s: %w", uid, err)
	}
	if len(answer.Items) != 1 {
		return nil, fmt.Errorf("pod %s has %d sandboxes that are ready, not one", uid, len(answer.Items))
	}
	return &Pod{ID: answer.Items[0].Id, containerd: c}, nil
}

// RemoveDeadSandboxes removes sandboxes that have ended, as the kubelet's
// garbage collector does once a minute. One that runs is left, to be found.
func (c *Containerd) RemoveDeadSandboxes(ctx context.Context) error {
	answer, err := c.runtime.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{Filter: &runtime.PodSandboxFilter{
		State: &runtime.PodSandboxStateValue{State: runtime.PodSandboxState_SANDBOX_NOTREADY},
	}})
	if err != nil {
		return fmt.Errorf("looking for sandboxes that have ended: %w", err)
	}
	for _, sandbox := range answer.Items {
		if _, err := c.runtime.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: sandbox.Id}); err != nil {
			return fmt.Errorf("removing sandbox %s: %w", sandbox.Id, err)
		}
	}
	return nil
}
