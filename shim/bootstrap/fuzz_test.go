// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzListening: which processes are killed hangs on this table. Only a line
// that has the whole name, and a socket that listens, counts; anybody may bind
// a socket whose name has spaces, line breaks and what else looks like a column.
func FuzzListening(f *testing.F) {
	const (
		name  = "/run/containerd/s/0b5c"
		table = "Num       RefCount Protocol Flags    Type St Inode Path\n" +
			"0000000000000000: 00000002 00000000 00010000 0001 01 31337 /run/containerd/s/0b5c\n" +
			"0000000000000000: 00000003 00000000 00000000 0001 03 31338 /run/containerd/s/0b5c\n" +
			"0000000000000000: 00000002 00000000 00010000 0001 01 4711 @containerd-shim\n" +
			"0000000000000000: 00000003 00000000 00000000 0001 03 4712\n"
	)
	f.Add(table, name)
	f.Add(table, "@containerd-shim")
	f.Add(table+"0: 2 0 00010000 1 1 99 /tmp/x /run/containerd/s/0b5c\n", name)
	f.Add(strings.Repeat("x", 70000), name)
	f.Fuzz(func(t *testing.T, table, name string) {
		found, err := listeningAmong(strings.NewReader(table), name)
		if err != nil {
			return
		}
		for socket := range found {
			inode := strings.TrimSuffix(strings.TrimPrefix(socket, "socket:["), "]")
			require.Contains(t, table, inode)
			require.Contains(t, table, name)
		}
		if name == "" {
			require.Empty(t, found)
		}
	})
}

// A name that looks like another line of the table leads to nobody's process.
func TestANameIsNotALine(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	victim, err := net.Listen("unix", "victim")
	require.NoError(t, err)
	defer func() { require.NoError(t, victim.Close()) }()
	inode := inodeOf(t, victim.(*net.UnixListener))
	for _, pretended := range []string{"/run/containerd/s/" + strings.Repeat("a", 46), "@" + strings.Repeat("b", 64)} {
		line := "x\na b c 00010000 e f " + inode + " " + pretended
		require.LessOrEqual(t, len(line), 107)
		require.NoError(t, os.MkdirAll(filepath.Dir(line), 0o700))
		forger, err := net.Listen("unix", line)
		require.NoError(t, err)
		table, err := os.ReadFile("/proc/net/unix")
		require.NoError(t, err)
		require.Contains(t, string(table), line[1:]+"\n", "the kernel shows what it was told")
		found, err := listeningAmong(bytes.NewReader(table), pretended)
		require.NoError(t, err)
		require.Empty(t, found)
		require.NoError(t, forger.Close())
	}
}

func inodeOf(t *testing.T, l *net.UnixListener) string {
	t.Helper()
	f, err := l.File()
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	require.NoError(t, err)
	return strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")
}

// FuzzIsMachine: only a process with the sandbox's whole id after -name is its
// virtual machine.
func FuzzIsMachine(f *testing.F) {
	const id = "0123abcd"
	f.Add([]byte("/usr/bin/qemu-system-x86_64\x00-name\x00sandbox-"+id+",debug-threads=on\x00-uuid\x00x\x00"), id)
	f.Add([]byte("sh\x00-c\x00-name sandbox-"+id+"\x00"), id)
	f.Add([]byte("qemu\x00-name\x00sandbox-"+id+"e\x00"), id)
	f.Add([]byte{}, id)
	f.Fuzz(func(t *testing.T, line []byte, id string) {
		if !isMachine(line, id) {
			return
		}
		if i := bytes.Index(line, []byte("\x00sandbox-"+id)); i < len("-name") || !strings.HasSuffix(string(line[:i]), "-name") {
			// Another argument may begin so as well: look at all.
			require.Contains(t, string(line), "-name\x00sandbox-"+id)
		}
	})
}

// FuzzRecord: whatever the bundle's record says, it is read or refused, and
// removing its sockets removes nothing that is not the very file it describes.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"inner_shim":"/opt/kata/bin/shim","inner":"unix:///run/a","outer":"unix:///run/b","sandbox":true,` +
		`"sockets":[{"path":"canary","device":1,"inode":2,"modified":3},null]}`))
	f.Add([]byte(`{"sockets":[{"path":"canary"}]}`))
	f.Add([]byte(`{"sockets":{}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, content []byte) {
		bundle := t.TempDir()
		t.Chdir(bundle) // where a relative path leads
		canary := filepath.Join(bundle, "canary")
		require.NoError(t, os.WriteFile(canary, nil, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(bundle, recordFile), content, 0o600))
		r, err := readRecord(bundle)
		if err != nil {
			require.Zero(t, r)
			return
		}
		for _, s := range r.Sockets {
			if s != nil && (strings.ContainsRune(s.Path, '/') || strings.Contains(s.Path, "..")) {
				return // not outside of this test's folder
			}
		}
		_ = r.removeSockets() // a path that can't be is an error
		require.FileExists(t, canary)
	})
}
