// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Containerd is one that runs.
type Containerd struct {
	Version
	*service
	// Registry is where guests pull images from.
	Registry *Registry

	// config is its configuration file.
	config  string
	runtime runtime.RuntimeServiceClient
	conn    *grpc.ClientConn
}

// StartContainerd starts one with all handlers, with the images that tests use,
// and the registry that guests pull them from, and stops both when the test
// ends. One at a time: they share a socket.
func StartContainerd(t testing.TB, v Version) *Containerd {
	t.Helper()
	NeedNode(t)
	if err := errors.Join(v.writeShimConfig(), v.writeConfig(v.configPath())); err != nil {
		t.Fatalf("configuring %s: %v", v.Name, err)
	}
	return StartContainerdWith(t, v, v.configPath())
}

// StartContainerdWith is StartContainerd with a configuration of the test's own,
// and nothing of ours in it but what the test has put there.
func StartContainerdWith(t testing.TB, v Version, config string) *Containerd {
	t.Helper()
	NeedNode(t)
	registry := StartRegistry(t)
	started := time.Now()
	c, err := newContainerd(v, config)
	if err != nil {
		t.Fatalf("starting %s: %v", v.Name, err)
	}
	c.Registry = registry
	t.Cleanup(func() {
		if err := c.close(); err != nil {
			t.Errorf("stopping %s: %v", v.Name, err)
		}
	})
	if err := c.importImages(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s is ready after %.1f s", v.Name, time.Since(started).Seconds())
	return c
}

func newContainerd(v Version, config string) (*Containerd, error) {
	c := &Containerd{Version: v, config: config}
	var err error
	if c.service, err = newService(v.Name); err != nil {
		return nil, err
	}
	if c.conn, err = grpc.NewClient("unix://"+v.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return nil, err
	}
	c.runtime = runtime.NewRuntimeServiceClient(c.conn)
	return c, c.start()
}

func (v Version) configPath() string { return filepath.Join("/etc/containerd", v.Name+".toml") }

// LogPath is the file with what containerd and its shims say.
func (c *Containerd) LogPath() string { return c.log.Name() }

// PSS is containerd's share of memory in bytes.
func (c *Containerd) PSS() (int64, error) { return c.Process().PSS() }

// Process is containerd's own.
func (c *Containerd) Process() Process { return Process{PID: c.cmd.Process.Pid, Name: c.Name} }

func (c *Containerd) start() error {
	cmd := exec.Command(c.program("containerd"), "--config", c.config)
	cmd.Env = c.environment()
	return c.service.start(cmd, c.ready)
}

// ready: the runtime and its network are.
func (c *Containerd) ready(ctx context.Context) error {
	status, err := c.runtime.Status(ctx, &runtime.StatusRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	if conditions := status.GetStatus().GetConditions(); !allTrue(conditions) {
		return fmt.Errorf("its conditions are %v", conditions)
	}
	return nil
}

func allTrue(conditions []*runtime.RuntimeCondition) bool {
	for _, condition := range conditions {
		// containerd 2.x adds a condition about deprecated settings.
		if !condition.Status && !strings.HasPrefix(condition.Type, "Containerd") {
			return false
		}
	}
	return len(conditions) > 0
}

func (c *Containerd) importImages() error {
	archives, err := filepath.Glob(payload + "/images/*.tar")
	if err != nil || len(archives) == 0 {
		return fmt.Errorf("no images in %s/images (%w)", payload, err)
	}
	for _, archive := range archives {
		if _, err := c.Ctr("images", "import", archive); err != nil {
			return err
		}
	}
	return nil
}

// AddImage puts one of the images that only some tests need into the registry.
// What runs in a guest is what the guest pulls, so for containerd the name is
// enough: here another image has it, so that a large one is not unpacked twice.
// (Installations do the same by a snapshotter that makes no snapshots.)
func (c *Containerd) AddImage(t testing.TB, fullName string) {
	t.Helper()
	if err := c.Registry.Add(fullName); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Ctr("images", "tag", Busybox, fullName); err != nil {
		t.Fatal(err)
	}
}

// Pull has containerd pull an image, as the kubelet does, and gives what it is
// known by then.
func (c *Containerd) Pull(ctx context.Context, image string) (string, error) {
	answer, err := runtime.NewImageServiceClient(c.conn).PullImage(ctx, &runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: image}})
	if err != nil {
		return "", fmt.Errorf("pulling image %s: %w", image, err)
	}
	return answer.GetImageRef(), nil
}

// Ctr runs this version's ctr in the kubelet's namespace.
func (c *Containerd) Ctr(args ...string) (string, error) {
	return run(c.program("ctr"), append([]string{"--address", c.Socket(), "--namespace", "k8s.io"}, args...)...)
}

// Stop ends containerd as systemd does; pods run on.
func (c *Containerd) Stop() error { return c.end(false) }

// Kill ends containerd by SIGKILL.
func (c *Containerd) Kill() error { return c.end(true) }

// Restart ends it, kindly or not, and starts it again.
func (c *Containerd) Restart(kill bool) error {
	if err := c.end(kill); err != nil {
		return err
	}
	return c.start()
}

func (c *Containerd) close() error {
	return errors.Join(c.service.close(), c.conn.Close())
}
