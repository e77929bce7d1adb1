// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package helm_test renders the chart with the pinned helm and looks at the
// objects. That a real API server takes them, and what the policies do, is
// tested in functional-tests/chart.
package helm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// helm gives what it prints, and what it says when it fails.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	found, err := filepath.Glob("../../build/tools/helm-*/helm")
	require.NoError(t, err)
	require.NotEmpty(t, found, "make unit builds helm")
	cmd := exec.Command(found[len(found)-1], args...)
	// No settings of whoever runs the test.
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", errors.New(stderr.String())
	}
	return stdout.String(), nil
}

// object is one of Kubernetes'.
type object map[string]any

// at gives what is at a path; nil where nothing is.
func (o object) at(path ...any) any {
	var now any = map[string]any(o)
	for _, step := range path {
		switch step := step.(type) {
		case string:
			fields, ok := now.(map[string]any)
			if !ok {
				return nil
			}
			now = fields[step]
		case int:
			items, ok := now.([]any)
			if !ok || step >= len(items) {
				return nil
			}
			now = items[step]
		}
	}
	return now
}

// render gives the objects by kind and name, hooks too.
func render(t *testing.T, values ...string) map[string]object {
	t.Helper()
	args := []string{"template", "kata-tes", "kata-tes", "--namespace", "ns"}
	for _, value := range values {
		args = append(args, "--set", value)
	}
	text, err := helm(t, args...)
	require.NoError(t, err)
	return parse(t, text)
}

func parse(t *testing.T, text string) map[string]object {
	t.Helper()
	all := map[string]object{}
	documents := yaml.NewDecoder(strings.NewReader(text))
	for {
		// Not an object: all maps below would be objects, too.
		var fields map[string]any
		err := documents.Decode(&fields)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		if fields == nil {
			continue
		}
		o := object(fields)
		name := o["kind"].(string) + " " + o.at("metadata", "name").(string)
		require.NotContains(t, all, name, "twice")
		all[name] = o
	}
}

const (
	daemonSet = "DaemonSet kata-tes"
	job       = "Job kata-tes-uninstall"
)

// container is one of a pod's, by name.
func container(t *testing.T, pod any, name string) object {
	t.Helper()
	spec := object(pod.(map[string]any))
	for _, list := range []string{"initContainers", "containers"} {
		items, _ := spec[list].([]any)
		for _, item := range items {
			if c := object(item.(map[string]any)); c["name"] == name {
				return c
			}
		}
	}
	require.Fail(t, "no container "+name)
	return nil
}

func TestDefault(t *testing.T) {
	all := render(t)
	var names []string
	for name := range all {
		names = append(names, name)
	}
	require.ElementsMatch(t, []string{
		daemonSet, "ServiceAccount kata-tes",
		"ClusterRole kata-tes-node-label", "ClusterRoleBinding kata-tes-node-label",
		"ValidatingAdmissionPolicy kata-tes-node-label", "ValidatingAdmissionPolicyBinding kata-tes-node-label",
		job, "ServiceAccount kata-tes-uninstall", "Role kata-tes-uninstall", "RoleBinding kata-tes-uninstall",
	}, names)
	pod := all[daemonSet].at("spec", "template", "spec")
	require.Equal(t, []any{"install", "--root=/host", "--from=/opt/kata-tes/bin", "--runtime=kata-qemu-tdx", "--restart"}, container(t, pod, "node")["args"])
	require.Equal(t, []any{"wait", "--label=kata-tes.io/ready"}, container(t, pod, "wait")["args"])
	require.Nil(t, object(pod.(map[string]any)).at("initContainers", 1), "setting up is all that is done to a node")
	// The pods' selector can't be changed by an upgrade.
	require.Equal(t, map[string]any{"app.kubernetes.io/name": "kata-tes", "app.kubernetes.io/instance": "kata-tes"}, all[daemonSet].at("spec", "selector", "matchLabels"))
}

// TestAPodThatEndsChangesNothing: an upgrade, a drained node, a reboot must not
// take anything out under running pods.
func TestAPodThatEndsChangesNothing(t *testing.T) {
	text, err := helm(t, "template", "kata-tes", "kata-tes", "--show-only", "templates/daemonset.yaml")
	require.NoError(t, err)
	require.NotContains(t, text, "preStop")
	require.NotRegexp(t, `(?m)^[^#]*uninstall`, text)
}

// TestPrivileges: one container has the node, and it is over when the node is set
// up. All others have nothing.
func TestPrivileges(t *testing.T) {
	for _, action := range []string{"install", "uninstall"} {
		all := render(t, "action="+action)
		pod := object(all[daemonSet].at("spec", "template", "spec").(map[string]any))
		require.Nil(t, pod["hostPID"])
		require.Nil(t, pod["hostNetwork"])
		require.Nil(t, pod["hostIPC"])
		var containers []object
		for _, list := range []any{pod["initContainers"], pod["containers"], all[job].at("spec", "template", "spec", "containers")} {
			for _, c := range list.([]any) {
				containers = append(containers, c.(map[string]any))
			}
		}
		for _, c := range containers {
			require.Equal(t, true, c.at("securityContext", "readOnlyRootFilesystem"), c["name"])
			require.Equal(t, false, c.at("securityContext", "allowPrivilegeEscalation"), c["name"])
			require.Equal(t, []any{"ALL"}, c.at("securityContext", "capabilities", "drop"), c["name"])
			require.Nil(t, c.at("securityContext", "privileged"), c["name"])
			if c["name"] == "node" {
				require.Equal(t, []any{"CHOWN", "DAC_OVERRIDE", "FOWNER", "SYS_CHROOT"}, c.at("securityContext", "capabilities", "add"))
				continue
			}
			require.Nil(t, c["volumeMounts"], c["name"])
			require.Equal(t, true, c.at("securityContext", "runAsNonRoot"), c["name"])
			require.Nil(t, c.at("securityContext", "capabilities", "add"), c["name"])
		}
		require.Equal(t, []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"nodes"}, "verbs": []any{"patch"}}}, all["ClusterRole kata-tes-node-label"]["rules"])
		require.Equal(t, []any{
			map[string]any{"apiGroups": []any{"apps"}, "resources": []any{"daemonsets"}, "resourceNames": []any{"kata-tes"}, "verbs": []any{"patch", "watch"}},
			map[string]any{"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"list"}},
		}, all["Role kata-tes-uninstall"]["rules"])
	}
}

// TestUninstallJobGivesTheUninstallingDaemonSet: the patch that the job applies
// and the value action=uninstall are the same change.
func TestUninstallJobGivesTheUninstallingDaemonSet(t *testing.T) {
	for _, values := range [][]string{nil, {"nodeLabel.enabled=false", "restartContainerd=false", "resources=null", "privileged=true"}} {
		all := render(t, values...)
		pod := all[job].at("spec", "template", "spec")
		args := container(t, pod, "uninstall")["args"].([]any)
		require.Equal(t, []any{"rollout", "kata-tes", "--timeout=240s"}, args[:3])
		text, found := strings.CutPrefix(args[3].(string), "--patch=")
		require.True(t, found)
		var patch map[string]any
		require.True(t, json.Valid([]byte(text)))
		// By the reader of what it is compared with, which knows whole numbers.
		require.NoError(t, yaml.Unmarshal([]byte(text), &patch))

		changed := merge(map[string]any(all[daemonSet]), patch)
		require.Equal(t, map[string]any(render(t, append(values, "action=uninstall")...)[daemonSet]), changed)
		require.Equal(t, "100%", object(changed).at("spec", "updateStrategy", "rollingUpdate", "maxUnavailable"))
	}
}

// merge is a JSON merge patch (RFC 7386), without its deletions.
func merge(into, patch map[string]any) map[string]any {
	for key, value := range patch {
		inner, isMap := value.(map[string]any)
		before, wasMap := into[key].(map[string]any)
		if isMap && wasMap {
			value = merge(before, inner)
		}
		into[key] = value
	}
	return into
}

func TestUninstalling(t *testing.T) {
	pod := render(t, "action=uninstall")[daemonSet].at("spec", "template", "spec")
	require.Equal(t, []any{"unlabel", "kata-tes.io/ready", "uninstall", "--root=/host", "--restart"}, container(t, pod, "node")["args"], "first of all, no more pods")
	require.Equal(t, []any{"wait"}, container(t, pod, "wait")["args"], "it is not labelled again")
	pod = render(t, "action=uninstall", "nodeLabel.enabled=false", "restartContainerd=false")[daemonSet].at("spec", "template", "spec")
	require.Equal(t, []any{"uninstall", "--root=/host"}, container(t, pod, "node")["args"])
}

// TestKustomizeIsTheDefault also is make lint-helm's check.
func TestKustomizeIsTheDefault(t *testing.T) {
	all := render(t)
	install := map[string]object{}
	for _, file := range []string{"base/node.yaml", "install/daemonset.yaml"} {
		text, err := os.ReadFile(filepath.Join("../kustomize", file))
		require.NoError(t, err)
		for name, o := range parse(t, strings.ReplaceAll(strings.ReplaceAll(string(text), "namespace: kata-tes", "namespace: ns"), "serviceaccount:kata-tes:", "serviceaccount:ns:")) {
			install[name] = o
		}
	}
	// What is Helm's alone: the hook and its rights.
	for name := range all {
		if strings.HasSuffix(name, "-uninstall") {
			delete(all, name)
		}
	}
	require.Equal(t, all, install)
}
