// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// kubectlLimit bounds each call of kubectl unless the context does.
const kubectlLimit = 5 * time.Minute

// KubectlInput runs kubectl as the cluster's admin with that on its standard
// input, and gives what it printed. Its complaint is in the error.
func KubectlInput(ctx context.Context, input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, kubectlLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, cluster+"/bin/kubectl", append([]string{"--kubeconfig=" + cluster + "/admin"}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), errors.Join(err, ctx.Err()), strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Kubectl is KubectlInput for tests, without input, and has to succeed.
func Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	output, err := KubectlInput(t.Context(), "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

// Apply applies manifests and deletes what they name when the test ends.
func Apply(t testing.TB, manifests string) {
	t.Helper()
	t.Cleanup(func() {
		if _, err := KubectlInput(context.Background(), manifests, "delete", "--ignore-not-found", "--wait", "--timeout=3m", "--filename=-"); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
	if _, err := KubectlInput(t.Context(), manifests, "apply", "--filename=-"); err != nil {
		t.Fatal(err)
	}
}

// KubePod is a pod as the API server has it; what tests look at.
type KubePod struct {
	Metadata struct {
		Name, UID string
	}
	Status struct {
		Phase                 string
		ContainerStatuses     []KubeContainer
		InitContainerStatuses []KubeContainer
	}
}

// KubeContainer is a container's status.
type KubeContainer struct {
	Name         string
	Ready        bool
	RestartCount int
	ContainerID  string
	State        KubeState
	LastState    KubeState
}

// KubeState is one of the three that a container can be in.
type KubeState struct {
	Running    *struct{ StartedAt string }
	Waiting    *struct{ Reason, Message string }
	Terminated *struct {
		Reason, Message string
		ExitCode        int
	}
}

// Container is that container's status; an empty one while there is none.
func (p KubePod) Container(name string) KubeContainer {
	for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if c.Name == name {
			return c
		}
	}
	return KubeContainer{Name: name}
}

// Ready says whether all of that many containers are.
func (p KubePod) Ready(many int) bool {
	ready := 0
	for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if c.Ready {
			ready++
		}
	}
	return ready == many && p.Status.Phase == "Running"
}

// AwaitPod watches a pod of the default namespace until it is as wanted.
func AwaitPod(t testing.TB, name, what string, wanted func(KubePod) bool) KubePod {
	t.Helper()
	pod, err := awaitPod(t.Context(), name, wanted)
	if err != nil {
		described, _ := KubectlInput(context.Background(), "", "describe", "pod", name)
		t.Fatalf("pod %s, until %s: %v\n%s", name, what, err, described)
	}
	return pod
}

func awaitPod(ctx context.Context, name string, wanted func(KubePod) bool) (KubePod, error) {
	ctx, cancel := context.WithTimeout(ctx, kubectlLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, cluster+"/bin/kubectl", "--kubeconfig="+cluster+"/admin", "get", "pod", name, "--watch", "--output=json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		return KubePod{}, err
	}
	if err := cmd.Start(); err != nil {
		return KubePod{}, fmt.Errorf("kubectl get pod --watch: %w", err)
	}
	// It watches until it is told to end.
	defer func() { _ = cmd.Wait() }()
	defer cancel()
	var pod KubePod
	for decoder := json.NewDecoder(output); ; {
		pod = KubePod{}
		if err := decoder.Decode(&pod); err != nil {
			return pod, fmt.Errorf("kubectl get pod --watch: %w: %s", errors.Join(err, ctx.Err()), stderr.String())
		}
		if wanted(pod) {
			return pod, nil
		}
	}
}

// awaitNode waits until the scheduler may use the node.
func awaitNode(ctx context.Context) error {
	// The node registers itself: until then there is nothing to wait for.
	for deadline := time.Now().Add(readyLimit); ; {
		_, err := KubectlInput(ctx, "", "get", "node", "node")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
	_, err := KubectlInput(ctx, "", "wait", "node/node", "--for=condition=Ready", "--timeout=2m")
	return err
}

// KubePodSandbox is the pod's sandbox, for what is looked up on the node and in
// the guest.
func (c *Containerd) KubePodSandbox(ctx context.Context, pod KubePod) (*Pod, error) {
	return c.sandboxOf(ctx, pod.Metadata.UID)
}
