// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package agent

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/stretchr/testify/require"
)

// The key that opens the header, and the key of the volume, are nowhere but in
// the kernel once a store is ready: not in a file in memory, an argument, an
// environment, the memory of a process (the agent's among them), the kernel's
// log or the agent's. The search is shown to find both where they are planted.
//
// What is not searched: the kernel's own memory, where dm-crypt has the key, and
// pages that nobody owns any more.
func TestKeysAreNowhere(t *testing.T) {
	for _, p := range profile.All() {
		t.Run(p.Name, func(t *testing.T) {
			// On the disk of the node, which is not searched.
			aside, err := os.MkdirTemp("/var/lib", "tes-key-")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, os.RemoveAll(aside)) })
			path := tool(t, cryptsetup, "case $1 in luksFormat|luksOpen) cat > "+aside+"/key; exec $REAL \"$@\" < "+aside+"/key;; esac\nexec $REAL \"$@\"")
			marker := agentproto.NewMarker()
			newAttachedDisk(t, marker, int64(max(p.Least, 64<<20)))
			a := newProcess(t, withProfile(p), withCryptsetup(path))
			_, err = a.prepare(marker)
			require.NoError(t, err)

			passphrase, err := os.ReadFile(aside + "/key")
			require.NoError(t, err)
			require.Len(t, passphrase, 64)
			table := strings.Fields(run(t, "dmsetup", "table", "--showkeys", "ephemeral_image_encrypted_disk"))
			volumeKey, err := hex.DecodeString(table[4])
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(volumeKey), 64)

			s := newSearch(t, map[string][]byte{"passphrase": passphrase, "volume key": volumeKey})
			found := s.everywhere()
			require.Empty(t, found)
			t.Logf("summary: %s: searched %d files, %d processes, %d MiB for %d forms of 2 keys: found none", p.Name, s.files, s.processes, s.bytes>>20, len(s.forms))
			for _, must := range []string{a.log(), "/run/kata-tes/trusted_store.luks2", "/proc/" + pid(a) + "/mem"} {
				require.Contains(t, s.looked, must)
			}

			plant(t, s, passphrase, volumeKey)
			require.NoError(t, a.release(marker))
		})
	}
}

// plant puts the keys where they must be found.
func plant(t *testing.T, s *search, passphrase, volumeKey []byte) {
	file := filepath.Join(t.TempDir(), "planted")
	require.NoError(t, os.WriteFile(file, append([]byte("some text "), volumeKey...), 0o600))
	places := []string{file}
	hold := func(where string, cmd *exec.Cmd) {
		ready, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			require.NoError(t, cmd.Process.Kill())
			require.Error(t, cmd.Wait())
		})
		_, err = ready.Read(make([]byte, 1))
		require.NoError(t, err)
		places = append(places, fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, where))
	}
	const say = "echo; read -r never; "
	standing := func(script string, args ...string) *exec.Cmd {
		cmd := exec.Command("sh", append([]string{"-c", script}, args...)...)
		_, err := cmd.StdinPipe() // kept open, so that it waits
		require.NoError(t, err)
		return cmd
	}
	hold("cmdline", standing(say+":", "sh", base64.StdEncoding.EncodeToString(passphrase)))
	environment := standing(say + ":")
	environment.Env = []string{"PATH=/usr/bin", "K=" + hex.EncodeToString(passphrase)}
	hold("environ", environment)
	memory := exec.Command("sh", "-c", "read -r key; "+say+": $key")
	input, err := memory.StdinPipe()
	require.NoError(t, err)
	_, err = fmt.Fprintln(input, hex.EncodeToString(volumeKey[32:64]))
	require.NoError(t, err)
	hold("mem", memory)
	put(t, "/dev/kmsg", "kata-tes test: "+strings.ToUpper(hex.EncodeToString(volumeKey[:64]))+"\n")
	places = append(places, "the kernel's log")

	found := s.everywhere()
	for _, place := range places {
		hit := false
		for _, f := range found {
			hit = hit || strings.HasSuffix(f, " in "+place)
		}
		require.True(t, hit, "the search does not find what is planted in %s, but %q", place, found)
	}
	t.Logf("control: planted in %d places, found in all", len(places))
}

func pid(p *process) string { return strconv.Itoa(p.cmd.Process.Pid) }
