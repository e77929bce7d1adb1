// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// requireRefused: an error with the words, and neither an output nor a change of
// the input.
func requireRefused(t *testing.T, in, words string, change func(*Request)) {
	t.Helper()
	before := fileDigest(t, in)
	folder := t.TempDir()
	r := Request{In: in, Out: filepath.Join(folder, "out.img"), Agent: agentFile(t)}
	if change != nil {
		change(&r)
	}
	_, err := Install(t.Context(), r)
	require.ErrorContains(t, err, words)
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Equal(t, before, fileDigest(t, in))
}

// Images that are whole, and in which the agent extension could not work.
func TestImageRefused(t *testing.T) {
	remove := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			for _, name := range names {
				require.NoError(t, os.Remove(filepath.Join(root, name)))
			}
		}
	}
	link := func(name, target string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			require.NoError(t, os.RemoveAll(filepath.Join(root, name)))
			require.NoError(t, os.Symlink(target, filepath.Join(root, name)))
		}
	}
	for name, c := range map[string]struct {
		change  func(t *testing.T, root string)
		words   string
		request func(*Request)
	}{
		"no cryptsetup":      {remove("usr/sbin/cryptsetup"), "cryptsetup: there is no program /usr/sbin/cryptsetup", nil},
		"no mkfs":            {remove("usr/sbin/mke2fs"), "mkfs.ext4: there is no program", nil},
		"no mkfs of profile": {func(*testing.T, string) {}, "mkfs.xfs: there is no program", func(r *Request) { r.Profile = "integrity" }},
		"no systemd":         {remove("usr/lib/systemd/systemd"), "AGENT_INIT=no", nil},
		"agent as init":      {link("usr/sbin/init", "../bin/kata-agent"), "/sbin/init is /usr/bin/kata-agent, not systemd", nil},
		"no init":            {remove("usr/sbin/init"), "there is no /sbin/init", nil},
		"no target":          {remove("usr/lib/systemd/system/kata-containers.target"), "kata-containers.target: it is not in the image", nil},
		"masked":             {link("etc/systemd/system/kata-tes-agent.service", "/dev/null"), "masks the unit", nil},
		"overridden": {func(t *testing.T, root string) {
			put(t, root, "etc/systemd/system/kata-tes-agent.service", nil, 0o644)
		}, "is taken by systemd instead", nil},
		"other architecture": {func(t *testing.T, root string) {
			put(t, root, "usr/lib/systemd/systemd", program(elf.EM_AARCH64), 0o755)
		}, "the image is for arm64, kata-tes-agent for amd64", nil},
		"circle":                {link("etc/kata-tes", "../etc/kata-tes"), "circle", nil},
		"cryptsetup not to run": {func(t *testing.T, root string) { put(t, root, "usr/sbin/cryptsetup", nil, 0o644) }, "cryptsetup", nil},
		// The links of the image lead to nothing on this machine, where all of
		// this is.
		"links out": {link("usr/sbin/cryptsetup", "../../../../../../../../bin/sh"), "cryptsetup", nil},
		"configuration not valid": {func(t *testing.T, root string) {
			put(t, root, "etc/kata-tes/agent.toml", []byte("cipher = \"none\"\n"), 0o644)
		}, "unknown key", nil},
		"folder in the way": {func(t *testing.T, root string) {
			put(t, root, "usr/bin/kata-tes-agent/x", nil, 0o644)
		}, "is a folder", nil},
		"odd characters": {link("etc/kata-tes", "/a\"b\nrm /etc"), "such characters", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := guestRoot(t)
			c.change(t, root)
			requireRefused(t, rootfsImage{root: root, size: 12}.make(t).path, c.words, c.request)
		})
	}
}

// Links within the image are followed within it: what they lead to is written.
func TestLinksInTheImage(t *testing.T) {
	root := guestRoot(t)
	require.NoError(t, os.MkdirAll(filepath.Join(root, "usr/share/etc"), 0o755))
	require.NoError(t, os.Symlink("/usr/share/etc", filepath.Join(root, "etc/kata-tes")))
	require.NoError(t, os.Symlink("../../../../../../etc/target", filepath.Join(root, "usr/share/etc/agent.toml")))
	result, err := install(t, rootfsImage{root: root}.make(t).path, func(r *Request) { r.Profile = "confidentiality" })
	require.NoError(t, err)
	// The last link is replaced, not what it leads to.
	require.Contains(t, result.Put, "/usr/share/etc/agent.toml")
	_, err = os.Stat("/etc/target")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Images that are damaged, cut off, or something else.
func TestRootfsDamaged(t *testing.T) {
	root := guestRoot(t)
	le := binary.LittleEndian
	for name, c := range map[string]struct {
		image  rootfsImage
		change func(t *testing.T, b []byte, m made) []byte
		words  string
	}{
		"cut off in the root": {rootfsImage{}, func(_ *testing.T, b []byte, _ made) []byte { return b[:len(b)/2] }, "cut off"},
		"cut off in the hash": {rootfsImage{hash: "plain"}, func(_ *testing.T, b []byte, m made) []byte { return b[:m.hashStart+4096] }, "cut off"},
		"only a table":        {rootfsImage{}, func(_ *testing.T, b []byte, _ made) []byte { return b[:512] }, "cut off"},
		"empty":               {rootfsImage{}, func(*testing.T, []byte, made) []byte { return nil }, "neither"},
		"no file system": {rootfsImage{}, func(_ *testing.T, b []byte, m made) []byte {
			clear(b[m.rootStart : m.rootStart+4096])
			return b
		}, "no ext4"},
		"EROFS": {rootfsImage{}, func(_ *testing.T, b []byte, m made) []byte {
			clear(b[m.rootStart : m.rootStart+4096])
			le.PutUint32(b[m.rootStart+1024:], 0xe0f5e1e2)
			return b
		}, "EROFS"},
		"XFS": {rootfsImage{}, func(_ *testing.T, b []byte, m made) []byte {
			clear(b[m.rootStart : m.rootStart+4096])
			copy(b[m.rootStart:], "XFSB")
			return b
		}, "XFS"},
		"not unmounted": {rootfsImage{}, func(_ *testing.T, b []byte, m made) []byte {
			b[m.rootStart+1024+0x60] |= 4
			return b
		}, "not unmounted cleanly"},
		"damaged inodes": {rootfsImage{}, func(_ *testing.T, b []byte, m made) []byte {
			for at := m.rootStart + 8192; at < m.rootStart+300<<10; at += 64 {
				b[at] ^= 0x55
			}
			return b
		}, "damaged"},
		"changed behind the superblock's tree": {rootfsImage{hash: "superblock"}, func(_ *testing.T, b []byte, m made) []byte {
			b[m.rootStart+m.rootSize-1] ^= 1
			return b
		}, "is not that of the root file system"},
		"superblock of another size": {rootfsImage{hash: "superblock"}, func(_ *testing.T, b []byte, m made) []byte {
			le.PutUint64(b[m.hashStart+72:], uint64(m.rootSize/4096+1))
			return b
		}, "larger root file system"},
		"empty hash partition": {rootfsImage{hash: "plain"}, func(_ *testing.T, b []byte, m made) []byte {
			clear(b[m.hashStart : m.hashStart+m.hashSize])
			return b
		}, "second partition is empty"},
		"tables disagree": {rootfsImage{dax: true}, func(_ *testing.T, b []byte, _ made) []byte {
			le.PutUint32(b[2*mib+446+12:], 2048)
			return b
		}, "disagree"},
		"no second table": {rootfsImage{dax: true}, func(_ *testing.T, b []byte, _ made) []byte {
			clear(b[2*mib : 2*mib+512])
			return b
		}, "behind the header for DAX"},
		"header for DAX": {rootfsImage{dax: true}, func(_ *testing.T, b []byte, _ made) []byte {
			le.PutUint64(b[4096+56:], 1<<60)
			return b
		}, "header for DAX is damaged"},
		"partitions overlap": {rootfsImage{hash: "plain"}, func(_ *testing.T, b []byte, _ made) []byte {
			le.PutUint32(b[446+16+8:], 4096)
			return b
		}, "overlap"},
		"GPT": {rootfsImage{gpt: true}, func(_ *testing.T, b []byte, _ made) []byte {
			b[1024+40]++
			return b
		}, "GPT is damaged"},
		"GPT too small": {rootfsImage{gpt: true, size: 8}, func(_ *testing.T, b []byte, _ made) []byte { return b }, "ROOT_FREE_SPACE"},
		"qcow2": {rootfsImage{}, func(_ *testing.T, b []byte, _ made) []byte {
			copy(b, "QFI\xfb")
			return b
		}, "qemu-img convert"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			image := c.image
			image.root = root
			m := image.make(t)
			content, err := os.ReadFile(m.path)
			require.NoError(t, err)
			rewrite(t, m.path, c.change(t, content, m))
			requireRefused(t, m.path, c.words, nil)
		})
	}
}

func TestRequestRefused(t *testing.T) {
	in := rootfsImage{root: guestRoot(t), size: 12}.make(t).path
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o755))
		return path
	}
	dynamic, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(*Request)
		words  string
	}{
		"no input":             {func(r *Request) { r.In = folder + "/none" }, "no such file"},
		"folder":               {func(r *Request) { r.In = folder }, "not a regular file"},
		"no agent":             {func(r *Request) { r.Agent = folder + "/none" }, "--agent"},
		"agent is no program":  {func(r *Request) { r.Agent = write("script", "#!/bin/sh\n") }, "no program"},
		"agent is another":     {func(r *Request) { r.Agent = write("other", string(dynamic)) }, "not kata-tes-agent"},
		"profile":              {func(r *Request) { r.Profile = "none" }, "unknown"},
		"configuration":        {func(r *Request) { r.Configuration = write("agent.toml", "x = 1\n") }, "unknown key"},
		"both":                 {func(r *Request) { r.Configuration, r.Profile = "x", "integrity" }, "choose one"},
		"no folder":            {func(r *Request) { r.Out = folder + "/none/out.img" }, "no such file"},
		"drop-in of another":   {func(r *Request) { r.DropIn = write("60.toml", "# mine\n") }, "not written by kata-tes"},
		"drop-in's folder":     {func(r *Request) { r.DropIn = folder + "/none/60.toml" }, "no such file"},
		"Kata's configuration": {func(r *Request) { r.KataConfig = write("kata.toml", "[runtime]\n") }, "no section"},
		"not TOML":             {func(r *Request) { r.KataConfig = write("bad.toml", "[") }, "the configuration of Kata"},
	} {
		t.Run(name, func(t *testing.T) { requireRefused(t, in, c.words, c.change) })
	}
}

// What is at the output already is not replaced, unless it is the same or by
// force.
func TestOutputIsThere(t *testing.T) {
	in := rootfsImage{root: guestRoot(t)}.make(t).path
	out := filepath.Join(t.TempDir(), "out.img")
	request := Request{In: in, Out: out, Agent: agentFile(t)}
	require.NoError(t, os.WriteFile(out, []byte("something else"), 0o600))
	_, err := Install(t.Context(), request)
	require.ErrorContains(t, err, "--force")
	content, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, "something else", string(content))

	request.Force = true
	first, err := Install(t.Context(), request)
	require.NoError(t, err)
	require.True(t, first.Written)
	request.Force = false
	again, err := Install(t.Context(), request)
	require.NoError(t, err)
	require.False(t, again.Written)
	require.Equal(t, first.SHA256, again.SHA256)
}

// Who interrupts it finds nothing but what was there.
func TestInterrupted(t *testing.T) {
	in := rootfsImage{root: guestRoot(t), size: 12}.make(t).path
	before := fileDigest(t, in)
	folder := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	done := make(chan error)
	go func() {
		_, err := Install(ctx, Request{In: in, Out: filepath.Join(folder, "out.img"), Agent: agentFile(t)})
		done <- err
	}()
	// It has begun when there is something.
	require.Eventually(t, func() bool {
		there, err := os.ReadDir(folder)
		return err == nil && len(there) > 0
	}, time.Minute, time.Millisecond)
	cancel(interrupted)
	require.ErrorIs(t, <-done, interrupted)
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Equal(t, before, fileDigest(t, in))
}

// In place, by the name that Kata gives its image, a link.
func TestInPlace(t *testing.T) {
	in := rootfsImage{root: guestRoot(t)}.make(t).path
	require.NoError(t, os.Chmod(in, 0o640))
	link := filepath.Join(filepath.Dir(in), "kata-containers.img")
	require.NoError(t, os.Symlink("kata.img", link))
	result, err := Install(t.Context(), Request{In: link, Out: link, Agent: agentFile(t)})
	require.NoError(t, err)
	require.Equal(t, in, result.Image)
	require.Equal(t, result.SHA256, fileDigest(t, link))
	info, err := os.Lstat(in)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode())
}
