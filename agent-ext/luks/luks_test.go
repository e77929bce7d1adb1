// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/kata-tes/kata-tes/agent-ext/command"
	"github.com/stretchr/testify/require"
)

func TestKey(t *testing.T) {
	a, err := NewKey()
	require.NoError(t, err)
	b, err := NewKey()
	require.NoError(t, err)
	require.Len(t, a.bytes(), keyBytes)
	require.NotEqual(t, a.bytes(), b.bytes())
	require.NotEqual(t, make([]byte, keyBytes), a.bytes())
	require.NoError(t, a.Destroy())
	require.NoError(t, b.Destroy())
}

// The kernel says that the key's memory is locked (lo), in no core dump (dd) and
// not in a child (wf), and is gone afterwards.
func TestKeyMemory(t *testing.T) {
	key, err := NewKey()
	require.NoError(t, err)
	address := uintptr(unsafe.Pointer(&key.memory[0]))
	flags := vmFlags(t, address)
	for _, flag := range []string{"lo", "dd", "wf"} {
		require.Contains(t, flags, flag)
	}
	key.wipe()
	require.Equal(t, make([]byte, len(key.memory)), key.memory)
	require.NoError(t, key.Destroy())
	require.NotContains(t, vmFlags(t, address), "wf", "unmapped, or somebody else's by now")
}

// vmFlags are those of the mapping that has the address (proc_pid_smaps(5));
// none where nothing is mapped.
func vmFlags(t *testing.T, address uintptr) []string {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	require.NoError(t, err)
	inside := false
	for line := range strings.Lines(string(smaps)) {
		var begin, end uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &begin, &end); n == 2 {
			inside = begin <= address && address < end
		}
		if flags, found := strings.CutPrefix(line, "VmFlags:"); found && inside {
			return strings.Fields(flags)
		}
	}
	return nil
}

// recorder notes commands and what they get on standard input.
type recorder struct {
	args  [][]string
	stdin [][]byte
	err   error
}

func (r *recorder) Run(_ context.Context, stdin *os.File, program string, args ...string) error {
	r.args = append(r.args, append([]string{program}, args...))
	if stdin != nil {
		key, err := io.ReadAll(stdin)
		if err != nil {
			return err
		}
		r.stdin = append(r.stdin, key)
	}
	return r.err
}

func TestCommands(t *testing.T) {
	run := &recorder{}
	v := Volume{Run: run, Cryptsetup: "/sbin/cryptsetup", Encryption: XTS, Device: "/dev/sda", Header: "/run/h", Mapping: "m"}
	key, err := NewKey()
	require.NoError(t, err)
	want := bytes.Clone(key.bytes())
	require.NoError(t, v.Format(t.Context(), key))
	require.NoError(t, v.Open(t.Context(), key))
	require.NoError(t, key.Destroy())

	require.Len(t, run.args, 2)
	require.Equal(t, [][]byte{want, want}, run.stdin)
	format, open := strings.Join(run.args[0], " "), strings.Join(run.args[1], " ")
	require.Equal(t, "/sbin/cryptsetup luksFormat --batch-mode --type luks2 --header /run/h --cipher aes-xts-plain64 --key-size 512"+
		" --sector-size 4096 --offset 32768 --pbkdf pbkdf2 --pbkdf-force-iterations 1000"+
		" --luks2-metadata-size 16384 --luks2-keyslots-size 262144 --key-file - /dev/sda", format)
	require.Equal(t, "/sbin/cryptsetup luksOpen --batch-mode --header /run/h --key-file - --disable-keyring /dev/sda m", open)
}

func TestFailuresAreTold(t *testing.T) {
	broken := errors.New("broken")
	v := Volume{Run: &recorder{err: broken}, Mapping: "no-such-mapping-kata-tes"}
	key, err := NewKey()
	require.NoError(t, err)
	require.ErrorIs(t, v.Format(t.Context(), key), broken)
	require.ErrorIs(t, v.Open(t.Context(), key), broken)
	require.NoError(t, key.Destroy())
}

// formatted is a volume with a header made by the real cryptsetup, on a file.
func formatted(t *testing.T, key *Key) Volume {
	t.Helper()
	cryptsetup, err := exec.LookPath("cryptsetup")
	if err != nil {
		t.Skip("needs cryptsetup")
	}
	dir := t.TempDir()
	v := Volume{
		Run: command.Real{}, Cryptsetup: cryptsetup, Encryption: XTS,
		Device: filepath.Join(dir, "disk"), Size: 64 << 20, Header: filepath.Join(dir, "header"), Mapping: "m",
	}
	require.NoError(t, os.WriteFile(v.Device, nil, 0o600))
	require.NoError(t, os.Truncate(v.Device, int64(v.Size)))
	require.NoError(t, v.Format(t.Context(), key))
	return v
}

func (v Volume) testKey(ctx context.Context, key *Key) error {
	return v.withKey(ctx, key, []string{"luksOpen", "--test-passphrase", "--header", v.Header, "--key-file", "-", v.Device})
}

func dump(t *testing.T, v Volume) string {
	t.Helper()
	out, err := exec.Command(v.Cryptsetup, "luksDump", v.Header).Output()
	require.NoError(t, err)
	return string(out)
}

func TestHeader(t *testing.T) {
	key, err := NewKey()
	require.NoError(t, err)
	v := formatted(t, key)

	info, err := os.Stat(v.Header)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	require.Equal(t, int64(2*metadataArea+v.Encryption.keyslotsArea()), info.Size())
	before := dump(t, v)
	for _, want := range []string{
		"Version:       \t2\n", "offset: 16777216 [bytes]", "cipher: aes-xts-plain64", "sector: 4096 [bytes]",
		"Key:        512 bits", "PBKDF:      pbkdf2", "Iterations: 1000",
	} {
		require.Contains(t, before, want)
	}
	disk, err := os.ReadFile(v.Device)
	require.NoError(t, err)
	require.NotContains(t, string(disk), "LUKS")

	require.NoError(t, v.testKey(t.Context(), key))
	require.NoError(t, v.ForgetKey())
	require.Error(t, v.testKey(t.Context(), key), "a forgotten key must not open the volume")
	require.Equal(t, before, dump(t, v), "the metadata stays for cryptsetup status")
	header, err := os.ReadFile(v.Header)
	require.NoError(t, err)
	require.Equal(t, make([]byte, v.Encryption.keyslotsArea()), header[2*metadataArea:])

	require.NoError(t, v.RemoveHeader())
	require.NoFileExists(t, v.Header)
	require.NoError(t, v.RemoveHeader())
	require.NoError(t, key.Destroy())
}

func TestForgetKeyRefuses(t *testing.T) {
	v := Volume{Header: filepath.Join(t.TempDir(), "header")}
	require.ErrorIs(t, v.ForgetKey(), os.ErrNotExist)
	require.NoError(t, os.WriteFile(v.Header, make([]byte, 2*metadataArea), 0o600))
	require.ErrorContains(t, v.ForgetKey(), "32768 bytes only")
}

// A cryptsetup that is stopped says so.
func TestFormatIsCancelled(t *testing.T) {
	key, err := NewKey()
	require.NoError(t, err)
	v := formatted(t, key)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("released")
	cancel(cause)
	require.ErrorIs(t, v.Format(ctx, key), cause)
	require.NoError(t, key.Destroy())
}
