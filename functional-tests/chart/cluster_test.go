// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/cluster"
	"github.com/kata-tes/kata-tes/functional-tests/controlplane"
	"github.com/stretchr/testify/require"
)

const namespace = "tes"

// rig is a control plane with the chart's tools.
type rig struct {
	t     *testing.T
	plane *controlplane.ControlPlane
	helm  string
	home  string
}

// start starts a control plane. Only make functional is sure to have built one.
func start(t *testing.T) *rig {
	t.Helper()
	if os.Getenv("TES_CLUSTER") == "" {
		t.Skip("needs Kubernetes: functional-tests/build.sh all, then TES_CLUSTER=1 (make functional does both)")
	}
	build, err := filepath.Abs("../../build")
	require.NoError(t, err)
	helm, err := filepath.Glob(filepath.Join(build, "tools", "helm-*", "helm"))
	require.NoError(t, err)
	require.NotEmpty(t, helm, "make unit and make functional build helm")
	plane, err := controlplane.New(build, t.Output())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, plane.Close()) })
	require.NoError(t, plane.Start(t.Context()))
	r := &rig{t: t, plane: plane, helm: helm[len(helm)-1], home: t.TempDir()}
	r.kubectl("", "create", "namespace", namespace)
	return r
}

// try runs a program against the control plane.
func (r *rig) try(program, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(r.t.Context(), program, args...)
	cmd.Env = []string{"HOME=" + r.home, "KUBECONFIG=" + r.plane.Admin(), "PATH=" + os.Getenv("PATH")}
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", errors.New(strings.TrimSpace(stderr.String() + "\n" + stdout.String()))
	}
	return stdout.String(), nil
}

func (r *rig) tryKubectl(input string, args ...string) (string, error) {
	return r.try(r.plane.Kubectl(), input, append([]string{"--namespace", namespace}, args...)...)
}

func (r *rig) kubectl(input string, args ...string) string {
	r.t.Helper()
	out, err := r.tryKubectl(input, args...)
	require.NoError(r.t, err, "kubectl %s", strings.Join(args, " "))
	return strings.TrimSpace(out)
}

// chart runs helm with the chart's release.
func (r *rig) chart(command string, values ...string) (string, error) {
	args := []string{command, "kata-tes", "--namespace", namespace}
	if command != "uninstall" {
		args = append(args, "../../configs/helm/kata-tes")
	}
	return r.try(r.helm, "", append(args, values...)...)
}

func (r *rig) install(values ...string) {
	r.t.Helper()
	args := []string{}
	for _, value := range values {
		args = append(args, "--set", value)
	}
	_, err := r.chart("install", args...)
	require.NoError(r.t, err)
}

// node adds a node that the DaemonSet is for, with room for its pod.
func (r *rig) node(name string) {
	r.t.Helper()
	r.kubectl(fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: %s, labels: {katacontainers.io/kata-runtime: "true"}}}`, name), "create", "--filename=-")
	const room = `{"cpu":"1","memory":"1Gi","pods":"9"}`
	r.kubectl("", "patch", "node", name, "--subresource=status", "--type=merge", `--patch={"status":{"capacity":`+room+`,"allocatable":`+room+`}}`)
}

const ours = "--selector=app.kubernetes.io/name=kata-tes"

// pod waits for the DaemonSet's pod on a node.
func (r *rig) pod(node string) string {
	r.t.Helper()
	onNode := "--field-selector=spec.nodeName=" + node
	r.kubectl("", "wait", "pod", "--for=create", ours, onNode, "--timeout=300s")
	return r.kubectl("", "get", "pod", ours, onNode, "--output=jsonpath={.items[0].metadata.name}")
}

// ready says of a pod what the kubelet would.
func (r *rig) ready(pod string) {
	r.t.Helper()
	r.kubectl("", "patch", "pod", pod, "--subresource=status", "--type=merge",
		`--patch={"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`)
}

// client is what a program in a pod of ours is. The token is bound to the pod,
// as the kubelet's are; to none without a pod.
func (r *rig) client(account, pod string) *cluster.Client {
	r.t.Helper()
	folder := r.t.TempDir()
	args := []string{"create", "token", account}
	if pod != "" {
		args = append(args, "--bound-object-kind=Pod", "--bound-object-name="+pod)
	}
	config := func(field string) string {
		return r.kubectl("", "config", "view", "--raw", "--output=jsonpath={.clusters[0].cluster."+field+"}")
	}
	for name, text := range map[string]string{
		"namespace": namespace,
		"token":     r.kubectl("", args...),
		"ca.crt":    r.kubectl("", "get", "configmap", "kube-root-ca.crt", `--output=jsonpath={.data.ca\.crt}`),
	} {
		require.NoError(r.t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	server, err := url.Parse(config("server"))
	require.NoError(r.t, err)
	client, err := cluster.New(server, folder)
	require.NoError(r.t, err)
	return client
}

// until tries for a while: a policy is in force a moment after it was made, and
// nothing says when.
func (r *rig) until(what string, holds func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for !holds() {
		require.NoError(r.t, ctx.Err(), what)
	}
}
