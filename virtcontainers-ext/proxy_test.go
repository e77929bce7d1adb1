// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp/qmptest"
)

// through puts a proxy with a fault between the machine's Sandbox and its
// monitor.
func (v *vm) through(t *testing.T, f *qmptest.Fault) *qmptest.Proxy {
	t.Helper()
	path := filepath.Join(shortDir(t), "proxy.sock")
	p, err := qmptest.Listen(path, v.monitor)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	p.Arm(f)
	v.monitor = path
	return p
}

// stopper stops a machine's QEMU like a hung one.
func (v *vm) stopper() func() {
	return func() { _ = v.cmd.Process.Signal(unix.SIGSTOP) }
}
