// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
)

// nodeName is the test node's.
const nodeName = "node"

// tokens are what clients show to the API server.
type tokens struct{ admin, kubelet string }

func newTokens() tokens { return tokens{admin: rand.Text(), kubelet: rand.Text()} }

// writeFiles writes the tokens, the clients' configurations, and the API
// server's way to the node.
func (c *ControlPlane) writeFiles() error {
	authority, err := os.ReadFile(c.path("ca.crt"))
	if err != nil {
		return fmt.Errorf("writing the control plane's configuration: %w", err)
	}
	here := c.ports.address(c.ports.api)
	for name, content := range map[string]string{
		"tokens.csv": strings.Join([]string{
			c.tokens.admin + `,admin,admin,"system:masters"`,
			c.tokens.kubelet + `,system:node:` + nodeName + `,kubelet,"system:nodes"`,
		}, "\n") + "\n",
		// For the controllers here, for kubelet and kubectl in the node.
		"controllers.kubeconfig": kubeconfig(here, c.tokens.admin, authority),
		"kubelet.kubeconfig":     kubeconfig(NodeAddress, c.tokens.kubelet, authority),
		"admin.kubeconfig":       kubeconfig(NodeAddress, c.tokens.admin, authority),
		"egress.yaml":            fmt.Sprintf(egressSelector, egressSocket),
	} {
		if err := os.WriteFile(c.path(name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("writing the control plane's configuration: %w", err)
		}
	}
	return nil
}

func kubeconfig(server, token string, authority []byte) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: test
  cluster:
    server: https://%s
    certificate-authority-data: %s
users:
- name: user
  user:
    token: %s
contexts:
- name: test
  context:
    cluster: test
    user: user
current-context: test
`, server, base64.StdEncoding.EncodeToString(authority), token)
}

// egressSelector sends what the API server opens to nodes and pods through our
// proxy (Kubernetes, EgressSelectorConfiguration). The path is relative to the
// API server's working folder.
const egressSelector = `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport:
      uds:
        udsName: %s
`

// etcdFlags: the data is thrown away, so that nothing needs to reach the disk.
func (c *ControlPlane) etcdFlags() []string {
	client, peer := "http://"+c.ports.address(c.ports.etcd), "http://"+c.ports.address(c.ports.peer)
	return []string{
		"--name=test", "--data-dir=" + c.path("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=test=" + peer,
	}
}

func (c *ControlPlane) apiserverFlags() []string {
	return []string{
		"--etcd-servers=http://" + c.ports.address(c.ports.etcd),
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", c.ports.api),
		// Nobody needs the API server as a service, and its address here
		// means nothing in the node.
		"--endpoint-reconciler-type=none", "--advertise-address=127.0.0.1",
		"--tls-cert-file=" + c.path("apiserver.crt"), "--tls-private-key-file=" + c.path("apiserver.key"),
		"--token-auth-file=" + c.path("tokens.csv"), "--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.path("service-account.key"),
		"--service-account-signing-key-file=" + c.path("service-account.key"),
		"--service-cluster-ip-range=10.96.0.0/16",
		"--egress-selector-config-file=" + c.path("egress.yaml"),
		"--kubelet-client-certificate=" + c.path("kubelet-client.crt"),
		"--kubelet-client-key=" + c.path("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		// Pods of user workloads may be privileged (tests of refusals).
		"--allow-privileged=true",
	}
}

// controllers are those that a pod with a volume needs, and the Helm chart.
var controllers = []string{
	"persistentvolume-binder-controller", "persistentvolumeclaim-protection-controller", "persistentvolume-protection-controller",
	"serviceaccount-controller", "serviceaccount-token-controller", "root-ca-certificate-publisher-controller",
	"node-lifecycle-controller", "taint-eviction-controller", "pod-garbage-collector-controller",
	"namespace-controller", "garbage-collector-controller", "daemonset-controller", "deployment-controller", "replicaset-controller",
	// The Helm chart's job, and what the API server thinks of policies.
	"job-controller", "validatingadmissionpolicy-status-controller",
}

func (c *ControlPlane) controllerFlags() []string {
	return []string{
		"--kubeconfig=" + c.path("controllers.kubeconfig"), "--secure-port=0", "--leader-elect=false",
		"--use-service-account-credentials=false",
		"--service-account-private-key-file=" + c.path("service-account.key"), "--root-ca-file=" + c.path("ca.crt"),
		"--controllers=" + strings.Join(controllers, ","),
	}
}

func (c *ControlPlane) schedulerFlags() []string {
	return []string{"--kubeconfig=" + c.path("controllers.kubeconfig"), "--secure-port=0", "--leader-elect=false"}
}
