// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kata-tes/kata-tes/cmd/kata-tes/guestimage"
	vcext "github.com/kata-tes/kata-tes/virtcontainers-ext"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

// live is what a check wants to know that is not in a file: devices, programs
// and virtual machines.
type live struct {
	user func() int
	// open opens a device of the node for reading and writing, and closes it.
	open func(device string) error
	// run runs a program of the node and gives its standard output.
	run func(ctx context.Context, program string, args ...string) (string, error)
	// machine finds a sandbox's monitor and gives its guest's address.
	machine func(ctx context.Context, sandbox string) (agentURL string, err error)
	// inspect looks into a guest image.
	inspect func(ctx context.Context, image, kataConfig string) (guestimage.Report, error)
}

const (
	// maxOutput bounds what a program may print, in bytes.
	maxOutput = 64 << 10
	// exitPatience is how long a program that was killed may keep its output open.
	exitPatience = time.Second
)

// hostOf is the node whose / is at root.
func hostOf(root string) live {
	return live{
		user: os.Geteuid,
		open: func(device string) error {
			f, err := os.OpenFile(filepath.Join(root, device), os.O_RDWR, 0) //nolint:gosec // a device by its usual name
			if err != nil {
				return err
			}
			return f.Close()
		},
		run: func(ctx context.Context, program string, args ...string) (string, error) {
			return run(ctx, root, program, args)
		},
		machine: func(ctx context.Context, sandbox string) (string, error) {
			found, err := vcext.Finder{
				RunRoot: filepath.Join(root, rundir.Root),
				VCDir:   filepath.Join(root, "/run/vc"),
				KataDir: filepath.Join(root, "/run/kata"),
			}.Find(ctx, sandbox)
			if err != nil {
				return "", err
			}
			return found.AgentURL(), nil
		},
		inspect: func(ctx context.Context, image, kataConfig string) (guestimage.Report, error) {
			return inspect(ctx, root, image, kataConfig)
		},
	}
}

// run runs a program with the node's own libraries.
func run(ctx context.Context, root, program string, args []string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // the node's own, by its configuration
	cmd.WaitDelay = exitPatience
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if filepath.Clean(root) != "/" {
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	}
	var out, complaints bounded
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err := cmd.Run()
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return "", unknownf("run kata-tes as root", "%s can't be run by this user", program)
	}
	if err != nil {
		return "", fmt.Errorf("running %s: %w%s", program, err, complaints.afterColon())
	}
	return out.String(), nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxOutput {
		return 0, errors.New("it prints too much")
	}
	return b.Buffer.Write(p)
}

func (b *bounded) afterColon() string {
	first, _, _ := bytes.Cut(bytes.TrimSpace(b.Bytes()), []byte("\n"))
	if len(first) == 0 {
		return ""
	}
	return fmt.Sprintf(": %.300s", first)
}
