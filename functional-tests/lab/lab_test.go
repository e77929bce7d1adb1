// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestConverse talks to a terminal that echoes, prompts and ends lines as
// terminals do.
func TestConverse(t *testing.T) {
	for name, c := range map[string]struct {
		echo           bool
		output, status string
	}{
		"with echo":    {true, "one\r\ntwo\r\n", "0"},
		"without echo": {false, "one\r\ntwo\r\n", "3"},
		"no output":    {true, "", "127"},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
			go func() {
				line, err := bufio.NewReader(theirs).ReadString('\n')
				if err != nil {
					return
				}
				_, nonce, _ := strings.Cut(line, `echo BEGIN-""`)
				nonce, _, _ = strings.Cut(nonce, ";")
				if c.echo {
					fmt.Fprintf(theirs, "~ # %s", strings.ReplaceAll(line, "\n", "\r\n"))
				}
				fmt.Fprintf(theirs, "BEGIN-%s\r\n%sEND-%s %s\r\n", nonce, c.output, nonce, c.status)
			}()
			output, status, err := converse(ours, "some 'quoted' command")
			require.NoError(t, err)
			require.Equal(t, strings.ReplaceAll(c.output, "\r\n", "\n"), output)
			require.Equal(t, c.status, fmt.Sprint(status))
		})
	}
}

func TestConverseRefusesWhatATerminalWouldCut(t *testing.T) {
	_, _, err := converse(nil, strings.Repeat("x", 5000))
	require.ErrorContains(t, err, "too long for a console")
}

// TestCreated reads real events of inotify.
func TestCreated(t *testing.T) {
	folder := t.TempDir()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	require.NoError(t, err)
	events := os.NewFile(uintptr(fd), "inotify")
	t.Cleanup(func() { _ = events.Close() })
	_, err = unix.InotifyAddWatch(fd, folder, unix.IN_CREATE)
	require.NoError(t, err)
	for _, name := range []string{"a", "a-much-longer-name-of-a-sandbox"} {
		require.NoError(t, os.Mkdir(filepath.Join(folder, name), 0o700))
	}
	buffer := make([]byte, 4096)
	n, err := events.Read(buffer)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "a-much-longer-name-of-a-sandbox"}, created(buffer[:n]))
}

func TestConfigurationHasEveryHandler(t *testing.T) {
	for _, v := range Versions() {
		v.dropIn = filepath.Join("..", "..", "configs", "containerd", filepath.Base(v.dropIn))
		path := filepath.Join(t.TempDir(), "config.toml")
		require.NoError(t, v.writeConfig(path))
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, h := range handlers() {
			require.Contains(t, string(content), "containerd.runtimes."+h.Name+"]\n")
		}
		require.Equal(t, 1, strings.Count(string(content), "\nversion = "), "one version line")
		if !v.imports {
			require.Contains(t, string(content), "containerd.runtimes."+Tes+"]\n", "the product's own handler")
		}
	}
}

func TestPSSOfOurselves(t *testing.T) {
	pss, err := Process{PID: os.Getpid(), Name: "test"}.PSS()
	require.NoError(t, err)
	require.Greater(t, pss, int64(1<<20))
}
