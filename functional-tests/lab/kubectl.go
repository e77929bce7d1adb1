// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// Attached is a container that kubectl is attached to.
type Attached struct {
	input  io.WriteCloser
	output *bufio.Reader
	stderr *bytes.Buffer
}

// KubectlAttach attaches to a container with a standard input, until the test
// ends.
func KubectlAttach(t testing.TB, pod, container string) *Attached {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), cluster+"/bin/kubectl", "--kubeconfig="+cluster+"/admin", "attach", pod, "--container", container, "--stdin", "--quiet")
	attached := &Attached{stderr: new(bytes.Buffer)}
	cmd.Stderr = attached.stderr
	var err error
	if attached.input, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	attached.output = bufio.NewReader(output)
	if err := cmd.Start(); err != nil {
		t.Fatalf("kubectl attach: %v", err)
	}
	// The context ends it; how is of no interest.
	t.Cleanup(func() { _ = cmd.Wait() })
	return attached
}

// Ask writes a line, and gives the next that comes back.
func (a *Attached) Ask(t testing.TB, line string) string {
	t.Helper()
	if _, err := io.WriteString(a.input, line+"\n"); err != nil {
		t.Fatalf("kubectl attach: %v: %s", err, a.stderr)
	}
	answer, err := a.output.ReadString('\n')
	if err != nil {
		t.Fatalf("kubectl attach: %v: %s", err, a.stderr)
	}
	return answer
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
	pod, err := watch(t.Context(), wanted, "pod", name)
	if err != nil {
		described, _ := KubectlInput(context.Background(), "", "describe", "pod", name)
		t.Fatalf("pod %s, until %s: %v\n%s", name, what, err, described)
	}
	return pod
}

// AwaitEvent watches the events about an object of the default namespace until
// one says that, in whatever words around it.
func AwaitEvent(t testing.TB, object, text string) {
	t.Helper()
	type event struct{ Message string }
	_, err := watch(t.Context(), func(e event) bool { return strings.Contains(e.Message, text) },
		"events", "--field-selector=involvedObject.name="+object)
	if err != nil {
		t.Fatalf("an event of %s that says %q: %v", object, text, err)
	}
}

// watch follows `kubectl get` of that until an object is as wanted, which may
// be so from the beginning.
func watch[T any](ctx context.Context, wanted func(T) bool, what ...string) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, kubectlLimit)
	defer cancel()
	args := append([]string{"--kubeconfig=" + cluster + "/admin", "get", "--watch", "--output=json"}, what...)
	cmd := exec.CommandContext(ctx, cluster+"/bin/kubectl", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	var none T
	output, err := cmd.StdoutPipe()
	if err != nil {
		return none, err
	}
	if err := cmd.Start(); err != nil {
		return none, fmt.Errorf("kubectl get --watch: %w", err)
	}
	// It watches until it is told to end.
	end := func() {
		cancel()
		_ = cmd.Wait()
	}
	for decoder := json.NewDecoder(output); ; {
		var object T
		if err := decoder.Decode(&object); err != nil {
			err = errors.Join(err, ctx.Err())
			end()
			return none, fmt.Errorf("kubectl get %s --watch: %w: %s", strings.Join(what, " "), err, strings.TrimSpace(stderr.String()))
		}
		if wanted(object) {
			end()
			return object, nil
		}
	}
}

// awaitNode waits until the node has registered itself and the scheduler may
// use it.
func awaitNode(ctx context.Context) error {
	for _, condition := range []string{"create", "condition=Ready"} {
		if _, err := KubectlInput(ctx, "", "wait", "node/node", "--for="+condition, "--timeout=2m"); err != nil {
			return err
		}
	}
	return nil
}

// KubePodSandbox is the pod's sandbox, for what is looked up on the node and in
// the guest.
func (c *Containerd) KubePodSandbox(ctx context.Context, pod KubePod) (*Pod, error) {
	return c.sandboxOf(ctx, pod.Metadata.UID)
}
