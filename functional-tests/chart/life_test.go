// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryObjectIsTaken by an API server that refuses unknown fields and says
// what is deprecated, with all that can be switched on.
func TestEveryObjectIsTaken(t *testing.T) {
	r := start(t)
	everything := []string{
		"admissionPolicy.enabled=true", "runtimeClass.create=true", "privileged=true", "priorityClassName=system-node-critical",
		"imagePullSecrets[0].name=mine", "tolerations[0].operator=Exists", "maxUnavailable=10%", "admissionPolicy.namespaceSelector.matchLabels.a=b",
		"image.digest=sha256:" + strings.Repeat("a", 64), "admissionPolicy.validationActions={Warn,Audit}",
	}
	for name, values := range map[string][]string{"default": nil, "everything": everything, "uninstall": {"action=uninstall"}, "no label": {"nodeLabel.enabled=false"}} {
		t.Run(name, func(t *testing.T) {
			var args []string
			for _, value := range values {
				args = append(args, "--set", value)
			}
			manifests, err := r.chart("template", args...)
			require.NoError(t, err)
			_, err = r.tryKubectl(manifests, "create", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "--filename=-")
			require.NoError(t, err)
		})
	}
	for _, base := range []string{"install", "uninstall"} {
		t.Run("kustomize "+base, func(t *testing.T) {
			manifests := r.kubectl("", "kustomize", "../../configs/kustomize/"+base)
			// Its namespace is not there, which a dry run does not make.
			manifests = strings.ReplaceAll(manifests, "namespace: kata-tes", "namespace: "+namespace)
			_, err := r.tryKubectl(manifests, "create", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "--filename=-")
			require.NoError(t, err)
		})
	}
}

// TestRights: a pod of ours may label its own node, and that is all.
func TestRights(t *testing.T) {
	r := start(t)
	r.node("one")
	r.node("two")
	r.install()
	pod := r.pod("one")
	const key, account = "kata-tes.io/ready", "kata-tes"
	yes := "true"
	label := func() string {
		return r.kubectl("", "get", "nodes", "--sort-by=.metadata.name", `--output=jsonpath={.items[*].metadata.labels.kata-tes\.io/ready}`)
	}

	ours := r.client(account, pod)
	r.until("the policy is in force", func() bool {
		err := ours.SetLabel(t.Context(), "two", key, &yes)
		if err == nil {
			require.NoError(t, ours.SetLabel(t.Context(), "two", key, nil))
		}
		return err != nil
	})
	require.ErrorContains(t, ours.SetLabel(t.Context(), "two", key, &yes), "kata-tes labels the node that its pod runs on, and no other")
	require.ErrorContains(t, r.client(account, "").SetLabel(t.Context(), "one", key, &yes), "and no other", "a token of no pod")
	require.ErrorContains(t, ours.SetLabel(t.Context(), "one", "pool", &yes), "changes the label kata-tes.io/ready of its node, and nothing else")
	require.ErrorContains(t, ours.SetLabel(t.Context(), "one", "katacontainers.io/kata-runtime", nil), "and nothing else")
	require.Empty(t, label())
	require.NoError(t, ours.SetLabel(t.Context(), "one", key, &yes))
	require.NoError(t, ours.SetLabel(t.Context(), "one", key, &yes), "again")
	require.Equal(t, "true", label())
	require.NoError(t, ours.SetLabel(t.Context(), "one", key, nil))
	require.Empty(t, label())

	// What RBAC alone decides, and that the policy is for us alone.
	as := "--as=system:serviceaccount:" + namespace + ":"
	for _, c := range []struct {
		account string
		action  []string
		may     bool
	}{
		{"kata-tes", []string{"patch", "nodes"}, true},
		{"kata-tes", []string{"update", "nodes"}, false},
		{"kata-tes", []string{"patch", "nodes", "--subresource=status"}, false},
		{"kata-tes", []string{"get", "secrets"}, false},
		{"kata-tes", []string{"patch", "daemonsets/kata-tes"}, false},
		{"kata-tes-uninstall", []string{"patch", "daemonsets/kata-tes"}, true},
		{"kata-tes-uninstall", []string{"patch", "daemonsets/other"}, false},
		{"kata-tes-uninstall", []string{"create", "pods"}, false},
		{"kata-tes-uninstall", []string{"patch", "nodes"}, false},
	} {
		_, err := r.tryKubectl("", append([]string{"auth", "can-i", as + c.account}, c.action...)...)
		require.Equal(t, c.may, err == nil, "%s: %s", c.account, strings.Join(c.action, " "))
	}
	r.kubectl("", "label", "node", "one", "somebody=else")
	// A taint is part of what a node's own pod must not change.
	_, err := r.tryKubectl("", "patch", "node", "one", as+"kata-tes", `--patch={"spec":{"unschedulable":true}}`)
	require.Error(t, err)
}

// TestUninstall turns the DaemonSet as the chart's job does, with the job's own
// rights and arguments.
func TestUninstall(t *testing.T) {
	r := start(t)
	r.node("one")
	r.node("two")
	r.install("nodeLabel.enabled=true")
	for _, node := range []string{"one", "two"} {
		r.ready(r.pod(node))
	}
	r.kubectl("", "rollout", "status", "daemonset/kata-tes", "--timeout=300s")

	spec := func() string { return r.kubectl("", "get", "daemonset", "kata-tes", "--output=jsonpath={.spec}") }
	before := spec()

	manifests, err := r.try(r.helm, "", "get", "hooks", "kata-tes", "--namespace", namespace)
	require.NoError(t, err)
	var job struct {
		Spec struct {
			Template struct {
				Spec struct {
					ServiceAccountName string
					Containers         []struct{ Args []string }
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(r.kubectl(manifests, "create", "--dry-run=client", "--output=json", "--filename=-")), &job))
	pod := job.Spec.Template.Spec
	patch, found := strings.CutPrefix(pod.Containers[0].Args[3], "--patch=")
	require.True(t, found)

	client := r.client(pod.ServiceAccountName, "")
	var steps []string
	done := make(chan error, 1)
	go func() {
		done <- client.Rollout(t.Context(), pod.Containers[0].Args[1], []byte(patch), func(step string) { steps = append(steps, step) })
	}()
	for _, node := range []string{"one", "two"} {
		// The kubelet ends the old pod, and the controller makes the new one.
		r.until("the pod on "+node+" is the uninstalling one", func() bool {
			for _, old := range strings.Fields(r.kubectl("", "get", "pod", ours, "--field-selector=spec.nodeName="+node, `--output=jsonpath={.items[?(@.metadata.deletionTimestamp)].metadata.name}`)) {
				r.kubectl("", "delete", "pod", old, "--force", "--grace-period=0", "--ignore-not-found", "--wait=false")
			}
			containers := r.kubectl("", "get", "pod", ours, "--field-selector=spec.nodeName="+node, "--output=jsonpath={.items[*].spec.initContainers[*].args}")
			return containers == `["unlabel","kata-tes.io/ready","uninstall","--root=/host","--restart"]`
		})
		select {
		case err := <-done:
			require.Fail(t, "it did not wait for all nodes", "%v", err)
		default:
		}
		r.ready(r.pod(node))
	}
	require.NoError(t, <-done)
	require.Equal(t, "2 of 2 nodes have the new pod, 2 pods are ready", steps[len(steps)-1])

	// An operator who thinks better of it gets all as it was.
	_, err = r.chart("upgrade", "--force-conflicts")
	require.NoError(t, err)
	require.Equal(t, before, spec())
}

// TestNothingStays of the release in the cluster, and a job that fails stops the
// uninstallation.
func TestNothingStays(t *testing.T) {
	r := start(t)
	kinds := "serviceaccounts,daemonsets,jobs,roles,rolebindings,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,runtimeclasses"
	list := func() string { return r.kubectl("", "get", kinds, "--output=name") }
	r.kubectl("", "wait", "serviceaccount/default", "--for=create", "--timeout=300s")
	before := list()
	r.node("one")
	r.install("admissionPolicy.enabled=true", "runtimeClass.create=true", "uninstall.timeoutSeconds=10")
	installed := list()
	require.NotEqual(t, before, installed)

	// No kubelet here: the job never ends.
	_, err := r.chart("uninstall", "--timeout=20s")
	require.ErrorContains(t, err, "kata-tes-uninstall")
	now := list()
	for _, object := range strings.Fields(installed) {
		require.Contains(t, now, object, "nothing is deleted while a node is not done")
	}
	_, err = r.chart("uninstall", "--no-hooks")
	require.NoError(t, err)
	r.kubectl("", "delete", "job", "kata-tes-uninstall", "--ignore-not-found")
	require.Equal(t, before, list())
}
