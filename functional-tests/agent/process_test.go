// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agentproto"
	agentv1 "github.com/kata-tes/kata-tes/agentproto/v1"
	"github.com/stretchr/testify/require"
)

// agentBinary is the product's, as it is in the guest image.
const agentBinary = "/opt/tes/guest/kata-tes-agent"

// process is the agent extension as a process of its own, as in a guest.
type process struct {
	*guest
	// dir is in memory and has its configuration, socket and log.
	dir string
	cmd *exec.Cmd
}

// newProcess starts one; see newGuest.
func newProcess(t *testing.T, changes ...func(*config.Config)) *process {
	t.Helper()
	p := &process{guest: &guest{t: t, c: config.Default()}, dir: t.TempDir()}
	for _, change := range changes {
		change(&p.c)
	}
	p.begin()
	t.Cleanup(func() {
		p.releaseAll()
		p.stop()
	})
	return p
}

// command is the program with the configuration as a file.
func (p *process) command() *exec.Cmd {
	s := p.c.Stores[agentproto.ImageStore]
	path := filepath.Join(p.dir, "agent.toml")
	require.NoError(p.t, os.WriteFile(path, fmt.Appendf(nil,
		"header_directory = %q\n[tools]\ncryptsetup = %q\nmkfs_ext4 = %q\nmkfs_xfs = %q\n[store.trusted_store]\nprofile = %q\nminimum_size = \"%d\"\n",
		p.c.HeaderDirectory, p.c.Tools.Cryptsetup, p.c.Tools.MkfsExt4, p.c.Tools.MkfsXFS, s.Profile.Name, s.MinimumSize), 0o600))
	return exec.Command(agentBinary, "-config", path, "-listen", "unix://"+p.socket())
}

func (p *process) socket() string { return filepath.Join(p.dir, "agent.sock") }

func (p *process) log() string { return filepath.Join(p.dir, "agent.log") }

// begin starts the program and waits until it serves.
func (p *process) begin() {
	t := p.t
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	p.cmd = p.command()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	require.NoError(t, p.cmd.Start())
	require.NoError(t, log.Close())
	var conn net.Conn
	require.Eventually(t, func() bool {
		conn, err = net.Dial("unix", p.socket())
		return err == nil
	}, patience, 20*time.Millisecond, "the agent does not serve")
	client := ttrpc.NewClient(conn)
	p.TrustedStoreService = agentv1.NewTrustedStoreClient(client)
	p.stop = func() {
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, p.cmd.Wait())
		require.NoError(t, client.Close())
	}
}

// kill ends it as a crash does, and starts the next.
func (p *process) kill() {
	require.NoError(p.t, p.cmd.Process.Kill())
	var exit *exec.ExitError
	require.ErrorAs(p.t, p.cmd.Wait(), &exit)
	if err := os.Remove(p.socket()); err != nil {
		require.ErrorIs(p.t, err, os.ErrNotExist)
	}
	p.begin()
}

// requireRefusesToStart: the agent ends with the words as its last.
func requireRefusesToStart(t *testing.T, words string, changes ...func(*config.Config)) {
	t.Helper()
	p := &process{guest: &guest{t: t, c: config.Default()}, dir: t.TempDir()}
	for _, change := range changes {
		change(&p.c)
	}
	cmd := p.command()
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	out, err := cmd.CombinedOutput()
	require.True(t, timer.Stop(), "the agent serves")
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit), "%v", err)
	require.Equal(t, 1, exit.ExitCode())
	require.Contains(t, string(out), words)
	t.Log("the guest's log says:", strings.TrimSpace(string(out)))
}
