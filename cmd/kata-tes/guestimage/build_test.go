// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// The images of these tests are made by the programs that Kata's image builder
// uses (mke2fs, veritysetup, cpio), and sfdisk in place of parted.

const agentVersion = "v9.8.7-test"

var buildAgent = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "kata-tes-agent-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "kata-tes-agent")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "-ldflags",
		"-s -w -X github.com/kata-tes/kata-tes/cmd/internal/version.mark=[kata-tes-version:"+agentVersion+"]",
		"github.com/kata-tes/kata-tes/cmd/kata-tes-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the agent extension: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if path, err := buildAgent(); err == nil {
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

func agentFile(t *testing.T) string {
	t.Helper()
	path, err := buildAgent()
	require.NoError(t, err)
	return path
}

// run runs one of the programs and gives what it prints.
func run(t *testing.T, stdin []byte, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = filepath.Join("/usr/sbin", name)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), out)
	return string(out)
}

// program is the least that is a program of an architecture.
func program(machine elf.Machine) []byte {
	header := make([]byte, 64)
	copy(header, "\x7fELF\x02\x01\x01")
	le := binary.LittleEndian
	le.PutUint16(header[16:], uint16(elf.ET_EXEC))
	le.PutUint16(header[18:], uint16(machine))
	le.PutUint32(header[20:], 1)
	le.PutUint16(header[52:], 64)
	return header
}

// guestRoot makes a folder with what matters of Kata's confidential image:
// merged /usr, systemd as init, the target, cryptsetup, mke2fs.
func guestRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, folder := range []string{
		"usr/bin", "usr/sbin", "usr/lib/systemd/system", "etc/systemd/system/kata-containers.target.wants", "run", "proc", "dev",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, folder), 0o755))
	}
	for name, target := range map[string]string{
		"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "usr/sbin/init": "../lib/systemd/systemd",
		"usr/sbin/mkfs.ext4": "mke2fs", "init": "/lib/systemd/systemd",
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(root, name)))
	}
	for _, name := range []string{"usr/lib/systemd/systemd", "usr/sbin/cryptsetup", "usr/sbin/mke2fs", "usr/bin/kata-agent"} {
		put(t, root, name, program(elf.EM_X86_64), 0o755)
	}
	put(t, root, "usr/lib/systemd/system/kata-containers.target", []byte("[Unit]\n"), 0o644)
	put(t, root, "etc/machine-id", nil, 0o644)
	// A folder that is large enough for e2fsck to index it, as it does in Kata's
	// images.
	for i := range 300 {
		put(t, root, fmt.Sprintf("usr/lib/systemd/system/some-unit-with-a-long-name-%d.service", i), []byte("[Unit]\n"), 0o644)
	}
	return root
}

func put(t *testing.T, root, name string, content []byte, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(root, name)
	require.NoError(t, os.RemoveAll(path))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, content, mode))
}

// rootfsImage says how to make one.
type rootfsImage struct {
	root string
	// size of the root partition in MiB; 0 for 24.
	size int
	// dax: with the header for NVDIMM; gpt: with a GPT.
	dax, gpt bool
	// hash: "", "superblock" (before Kata 3.27), or "plain".
	hash string
}

// made is where what is in it, in bytes, and what veritysetup said.
type made struct {
	path                           string
	rootStart, rootSize, hashStart int64
	hashSize                       int64
	rootHash, salt                 string
}

const mib = 1 << 20

func (i rootfsImage) make(t *testing.T) made {
	t.Helper()
	if i.size == 0 {
		i.size = 24
	}
	folder := t.TempDir()
	m := made{path: filepath.Join(folder, "kata.img"), rootStart: mib, rootSize: int64(i.size) * mib}
	if i.dax {
		m.rootStart += 2 * mib
	}
	end := m.rootStart + m.rootSize
	if i.hash != "" {
		m.hashStart, m.hashSize = end, mib
		end += mib
	}
	size := end + mib
	if i.dax {
		size = 128 * mib
	}
	image, err := os.Create(m.path)
	require.NoError(t, err)
	require.NoError(t, image.Truncate(size))
	require.NoError(t, image.Close())
	i.partition(t, m, folder)

	root := filepath.Join(folder, "root")
	run(t, nil, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", i.root, "-E", "root_owner=0:0", root, fmt.Sprintf("%dM", i.size))
	run(t, nil, "tune2fs", "-m", "3", root)
	optimize(t, root)
	overlay(t, m.path, root, m.rootStart)
	if i.hash != "" {
		m.rootHash, m.salt = hashTree(t, m.path, root, filepath.Join(folder, "hash"), m.hashStart, i.hash)
	}
	return m
}

// optimize is what Kata's image builder does (e2fsck -D): it indexes folders.
func optimize(t *testing.T, root string) {
	t.Helper()
	path, err := exec.LookPath("e2fsck")
	if err != nil {
		path = "/usr/sbin/e2fsck"
	}
	out, err := exec.Command(path, "-f", "-D", "-y", root).CombinedOutput()
	var exit *exec.ExitError
	if err != nil {
		// 1: it has changed the file system.
		require.ErrorAs(t, err, &exit, "%s", out)
		require.Equal(t, 1, exit.ExitCode(), "%s", out)
	}
}

// partition writes the tables.
func (i rootfsImage) partition(t *testing.T, m made, folder string) {
	t.Helper()
	script := func(shift int64) []byte {
		label := "label: dos\nlabel-id: 0x12345678\n"
		if i.gpt {
			label = "label: gpt\nlabel-id: 01234567-89AB-CDEF-0123-456789ABCDEF\n"
		}
		text := fmt.Sprintf("%sstart=%d, size=%d\n", label, (m.rootStart-shift)/512, m.rootSize/512)
		if m.hashSize > 0 {
			text += fmt.Sprintf("start=%d, size=%d\n", (m.hashStart-shift)/512, m.hashSize/512)
		}
		return []byte(text)
	}
	run(t, script(0), "sfdisk", "-q", m.path)
	if !i.dax {
		return
	}
	overlayBytes(t, m.path, daxHeader(), 4096)
	second := filepath.Join(folder, "second")
	require.NoError(t, os.WriteFile(second, nil, 0o600))
	require.NoError(t, os.Truncate(second, 126*mib))
	run(t, script(2*mib), "sfdisk", "-q", second)
	table, err := os.ReadFile(second)
	require.NoError(t, err)
	overlayBytes(t, m.path, table[:512], 2*mib)
}

// daxHeader is what nsdax.gpl.c writes, but for the checksum, which nothing here
// reads.
func daxHeader() []byte {
	b := make([]byte, 4096)
	copy(b, "NVDIMM_PFN_INFO")
	le := binary.LittleEndian
	le.PutUint16(b[54:], 2)
	le.PutUint64(b[56:], 2*mib)
	le.PutUint32(b[72:], 1)
	le.PutUint32(b[84:], 2*mib)
	return b
}

func hashTree(t *testing.T, image, root, hash string, at int64, kind string) (rootHash, salt string) {
	t.Helper()
	args := []string{"format", root, hash}
	if kind == "plain" {
		args = append(args, "--no-superblock")
	}
	require.NoError(t, os.WriteFile(hash, nil, 0o600))
	require.NoError(t, os.Truncate(hash, mib))
	said := run(t, nil, "veritysetup", args...)
	overlay(t, image, hash, at)
	return field(said, "Root hash:"), field(said, "Salt:")
}

func field(text, name string) string {
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func overlay(t *testing.T, image, part string, at int64) {
	t.Helper()
	content, err := os.ReadFile(part)
	require.NoError(t, err)
	overlayBytes(t, image, content, at)
}

func overlayBytes(t *testing.T, image string, content []byte, at int64) {
	t.Helper()
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, writeSparse(f, content, at))
	require.NoError(t, f.Close())
}

// part copies a part of an image into a file of its own.
func part(t *testing.T, image string, start, size int64) string {
	t.Helper()
	f, err := os.Open(image)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	path := filepath.Join(t.TempDir(), "part")
	to, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, to.Truncate(size))
	require.NoError(t, copySparse(t.Context(), to, 0, f, start, size))
	require.NoError(t, to.Close())
	return path
}

// rewrite puts other contents into a file.
func rewrite(t *testing.T, path string, content []byte) {
	t.Helper()
	require.NoError(t, os.Truncate(path, 0))
	require.NoError(t, os.Truncate(path, int64(len(content))))
	overlayBytes(t, path, content, 0)
}
