// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// cluster is what node-exec's control plane has put into the node.
	cluster = payload + "/kubernetes"
	// kubeletRoot is where the kubelet keeps pods and volumes.
	kubeletRoot = "/var/lib/kubelet"
	// kubeletHealth is the kubelet's own health endpoint.
	kubeletHealth = "http://127.0.0.1:10248/healthz"
)

// Kubelet is one that runs in the node, for the control plane beside it.
type Kubelet struct {
	*service
}

// StartKubelet starts one and waits until its node is ready for pods. It stops
// it when the test ends. containerd must run.
func StartKubelet(t testing.TB) *Kubelet {
	t.Helper()
	NeedNode(t)
	if _, err := os.Stat(cluster); err != nil {
		t.Fatalf("no control plane beside this node; write control_plane = true into testdata/node.toml (%v)", err)
	}
	started := time.Now()
	k, err := newKubelet()
	if err != nil {
		t.Fatalf("starting the kubelet: %v", err)
	}
	t.Cleanup(func() {
		if err := k.close(); err != nil {
			t.Errorf("stopping the kubelet: %v", err)
		}
	})
	if err := awaitNode(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the kubelet's node is ready after %.1f s", time.Since(started).Seconds())
	return k
}

func newKubelet() (*Kubelet, error) {
	config, err := render("kubelet.yaml", map[string]any{"ClientCA": cluster + "/ca.crt", "Socket": Containerd2.Socket()})
	if err != nil {
		return nil, err
	}
	if err := writeFile("/etc/kubernetes/kubelet.yaml", config); err != nil {
		return nil, err
	}
	s, err := newService("kubelet")
	if err != nil {
		return nil, err
	}
	k := &Kubelet{s}
	return k, k.start()
}

func (k *Kubelet) start() error {
	return k.service.start(exec.Command(cluster+"/bin/kubelet",
		"--config=/etc/kubernetes/kubelet.yaml", "--kubeconfig="+cluster+"/kubelet", "--root-dir="+kubeletRoot,
		"--hostname-override=node", "--node-ip=10.0.2.15", "--node-labels=katacontainers.io/kata-runtime=true", "--v=2"), kubeletReady)
}

// kubeletReady asks the kubelet itself.
func kubeletReady(ctx context.Context) error { return httpOK(ctx, kubeletHealth) }

// Restart ends it, by SIGKILL or as systemd does, and starts it again.
func (k *Kubelet) Restart(kill bool) error {
	if err := k.end(kill); err != nil {
		return err
	}
	return k.start()
}

// holdings are where the kubelet has what it holds for pods: their folders and
// mounts, and the nodes of their block volumes.
var holdings = []string{
	kubeletRoot + "/pods/*", kubeletRoot + "/plugins/kubernetes.io~local-volume/volumeDevices/*",
}

// awaitNoPods waits until it has let go of what it held for pods, all of which
// are deleted by now. It does so a few seconds later, and tells nobody.
func (k *Kubelet) awaitNoPods() error {
	deadline := time.Now().Add(settleLimit)
	for {
		var left []string
		for _, pattern := range holdings {
			found, err := filepath.Glob(pattern)
			if err != nil {
				return err
			}
			left = append(left, found...)
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the kubelet still has %s", strings.Join(left, " "))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// close ends it and removes what it keeps, which is not to be seen by the next
// one. What is still mounted there stays, for the check of what is left.
func (k *Kubelet) close() error {
	err := errors.Join(k.awaitNoPods(), k.service.close())
	removed := os.RemoveAll(kubeletRoot)
	if errors.Is(removed, fs.ErrNotExist) || errors.Is(removed, unix.EBUSY) {
		removed = nil
	}
	return errors.Join(err, removed)
}
