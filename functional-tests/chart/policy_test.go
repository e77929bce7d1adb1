// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is for what comes by itself and soon.
const patience = 5 * time.Minute

// container is one of a pod's, in YAML: its name, and device paths with the name
// of their volume.
func container(name string, devices ...string) string {
	text := "{name: " + name + ", image: busybox, volumeDevices: ["
	for _, device := range devices {
		path, volume, _ := strings.Cut(device, "=")
		text += `{devicePath: "` + path + `", name: ` + volume + "}, "
	}
	return text + "]}"
}

// sidecar is the same as a native sidecar.
func sidecar(name string, devices ...string) string {
	return strings.TrimSuffix(container(name, devices...), "}") + ", restartPolicy: Always}"
}

func all(containers ...string) string { return "[" + strings.Join(containers, ", ") + "]" }

const (
	claims = `{name: a, persistentVolumeClaim: {claimName: a}}, {name: b, persistentVolumeClaim: {claimName: b}}`
	class  = "kata-qemu-tdx"
)

// cases are pods and what is said of them; nothing where they may be.
var cases = []struct {
	name       string
	init       string
	containers string
	// volumes instead of those of the claims a and b.
	volumes string
	// class instead of the one that is looked at; "-" for none.
	class string
	want  string
}{
	{name: "no store", containers: all(container("app"))},
	{name: "another device", containers: all(container("app", "/dev/disk=a"))},
	{name: "the first container", containers: all(container("tes", "/dev/trusted_store=a"), container("app"))},
	{name: "a native sidecar", init: all(sidecar("tes", "/dev/trusted_store=a"), container("prepare")), containers: all(container("app"))},
	{name: "the first init container", init: all(container("tes", "/dev/trusted_store=a")), containers: all(container("app"))},
	{name: "two containers, one volume", containers: all(container("tes", "/dev/trusted_store=a"), container("app", "/dev/trusted_store=a", "/dev/other=b"))},
	{
		name: "a volume that is made with the pod", containers: all(container("tes", "/dev/trusted_store=a")),
		volumes: "{name: a, ephemeral: {volumeClaimTemplate: {spec: {volumeMode: Block, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}}",
	},
	{
		name: "not first", containers: all(container("app"), container("tes", "/dev/trusted_store=a")),
		want: `container "app" would be created before container "tes", which has the trusted store, and its image would go into the guest's memory; list "tes" first, or make it a native sidecar (an init container with restartPolicy: Always) before all others`,
	},
	{
		name: "behind an init container", init: all(container("prepare")), containers: all(container("tes", "/dev/trusted_store=a")),
		want: `container "prepare" would be created before container "tes"`,
	},
	{
		name: "the second native sidecar", init: all(sidecar("proxy"), sidecar("tes", "/dev/trusted_store=a")), containers: all(container("app")),
		want: `container "proxy" would be created before container "tes"`,
	},
	{
		name: "another spelling, not first", containers: all(container("app"), container("tes", "dev/.//trusted_store/=a")),
		want: `container "app" would be created before container "tes"`,
	},
	{name: "another spelling, first", containers: all(container("tes", "dev/.//trusted_store/=a"), container("app"))},
	{
		name: "a slip of the pen", containers: all(container("tes", "/dev/trusted_store2=a")),
		want: "a device path only begins like that of the trusted store; write /dev/trusted_store for the store, or give the device a path that does not begin so",
	},
	{
		name: "a slip of the pen in another container", containers: all(container("tes", "/dev/trusted_store=a"), container("app", "/dev//trusted_store/x=b")),
		want: "a device path only begins like that of the trusted store",
	},
	{
		name: "two stores", containers: all(container("tes", "/dev/trusted_store=a"), container("app", "/dev/trusted_store=b")),
		want: "a pod has one trusted store, but its containers name different volumes for /dev/trusted_store; use one volume for it",
	},
	{
		name: "two stores in one container", containers: all(container("tes", "/dev/trusted_store=a", "/dev//trusted_store=b")),
		want: "a pod has one trusted store",
	},
	{
		name: "the store's disk under another path", containers: all(container("tes", "/dev/trusted_store=a"), container("app", "/dev/disk=a")),
		want: "the trusted store's volume is given to a container under another path than /dev/trusted_store; remove that from the container's volumeDevices",
	},
	{
		name: "the store's claim once more", containers: all(container("tes", "/dev/trusted_store=a"), container("app", "/dev/disk=b")),
		volumes: `{name: a, persistentVolumeClaim: {claimName: a}}, {name: b, persistentVolumeClaim: {claimName: a}}`,
		want:    "the claim of the trusted store is the claim of another volume of the pod, too; give each a claim of its own",
	},
	{
		name: "read-only", containers: all(container("tes", "/dev/trusted_store=a")),
		volumes: `{name: a, persistentVolumeClaim: {claimName: a, readOnly: true}}`,
		want:    "the trusted store's claim is readOnly, and a store is written to; leave readOnly out",
	},
	{name: "another runtime class", class: "other", containers: all(container("app"), container("tes", "/dev/trusted_store=a"))},
	{name: "no runtime class", class: "-", containers: all(container("app"), container("tes", "/dev/trusted_store=a"))},
}

func TestStorePolicy(t *testing.T) {
	r := start(t)
	r.install("admissionPolicy.enabled=true", "runtimeClass.create=true")
	r.kubectl(`{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: other}, handler: other}`, "create", "-f", "-")
	r.kubectl("", "wait", "serviceaccount/default", "--for=create", "--timeout=300s")

	create := func(pod string) error {
		_, err := r.tryKubectl(pod, "create", "--dry-run=server", "--filename=-")
		return err
	}
	manifest := func(class, init, containers, volumes string) string {
		if volumes == "" {
			volumes = claims
		}
		spec := "{containers: " + containers + ", volumes: [" + volumes + "]"
		if init != "" {
			spec += ", initContainers: " + init
		}
		if class != "-" {
			spec += ", runtimeClassName: " + class
		}
		return "{apiVersion: v1, kind: Pod, metadata: {name: pod}, spec: " + spec + "}}"
	}
	bad := manifest(class, "", all(container("app"), container("tes", "/dev/trusted_store=a")), "")
	r.until("the policy is in force", func() bool { return create(bad) != nil })

	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			of := class
			if c.class != "" {
				of = c.class
			}
			err := create(manifest(of, c.init, c.containers, c.volumes))
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "denied request: "+c.want)
			require.NotContains(t, err.Error(), "\n", "one sentence")
		})
	}
	for _, file := range []string{"trusted_store_cc.yaml", "trusted_store_native_sidecar.yaml"} {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile("../../configs/kubernetes/" + file)
			require.NoError(t, err)
			require.NoError(t, create(string(text)))
		})
	}
	// What the API server finds in the expressions' types.
	for _, policy := range []string{"kata-tes-trusted-store", "kata-tes-node-label"} {
		r.kubectl("", "wait", "validatingadmissionpolicy/"+policy, "--for=jsonpath={.status.observedGeneration}=1", "--timeout=300s")
		require.Empty(t, r.kubectl("", "get", "validatingadmissionpolicy", policy, "--output=jsonpath={.status.typeChecking.expressionWarnings}"), policy)
	}
}

// TestStorePolicyWarns: to see first what would be refused.
func TestStorePolicyWarns(t *testing.T) {
	r := start(t)
	r.install("admissionPolicy.enabled=true", "runtimeClass.create=true", "admissionPolicy.validationActions={Warn}", "admissionPolicy.devicePath=/dev/my_store")
	r.kubectl("", "wait", "serviceaccount/default", "--for=create", "--timeout=300s")
	pod := `{apiVersion: v1, kind: Pod, metadata: {name: pod}, spec: {runtimeClassName: kata-qemu-tdx, volumes: [` + claims + `], containers: ` +
		all(container("app"), container("tes", "/dev/my_store=a")) + `}}`
	// With warnings as errors, kubectl fails and shows them.
	var err error
	r.until("the policy is in force", func() bool {
		_, err = r.tryKubectl(pod, "create", "--dry-run=server", "--warnings-as-errors", "--filename=-")
		return err != nil
	})
	require.ErrorContains(t, err, `list "tes" first`)
	r.kubectl(pod, "create", "--dry-run=server", "--filename=-")
}
