// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guestimage

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kata-tes/kata-tes/configs/guest"
	"github.com/stretchr/testify/require"
)

// install puts the agent extension into an image, into a folder of its own.
func install(t *testing.T, in string, change func(*Request)) (Result, error) {
	t.Helper()
	r := Request{In: in, Out: filepath.Join(t.TempDir(), "out.img"), Agent: agentFile(t)}
	if change != nil {
		change(&r)
	}
	return Install(t.Context(), r)
}

func TestRootfs(t *testing.T) {
	for name, image := range map[string]rootfsImage{
		"MBR":                          {},
		"MBR, measured":                {hash: "plain"},
		"MBR, measured, superblock":    {hash: "superblock"},
		"DAX":                          {dax: true},
		"DAX, measured":                {dax: true, hash: "plain"},
		"GPT, measured":                {gpt: true, hash: "plain"},
		"MBR, measured, too small":     {size: 8, hash: "plain"},
		"DAX, superblock, too small":   {size: 8, hash: "superblock", dax: true},
		"MBR, not measured, too small": {size: 8},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			image.root = guestRoot(t)
			in := image.make(t)
			before := fileDigest(t, in.path)

			result, err := install(t, in.path, nil)
			require.NoError(t, err)
			require.True(t, result.Changed)
			require.True(t, result.Written)
			require.True(t, result.Complete())
			require.Equal(t, agentVersion, result.Agent.Version)
			require.Equal(t, map[string]string{"trusted_store": "confidentiality"}, result.Profiles)
			require.Equal(t, before, fileDigest(t, in.path), "the input")
			require.Equal(t, fileDigest(t, result.Image), result.SHA256)
			requireSparse(t, result.Image)

			out := locate(t, result.Image, image)
			root := part(t, result.Image, out.rootStart, out.rootSize)
			requireInstalled(t, root)
			requireVerified(t, result, root, out, image.hash)
			if image.size == 0 {
				require.Equal(t, in.rootSize, out.rootSize)
				require.Equal(t, run(t, nil, "sfdisk", "-J", in.path), strings.ReplaceAll(
					run(t, nil, "sfdisk", "-J", result.Image), result.Image, in.path), "the partition table")
			} else {
				require.Greater(t, out.rootSize, in.rootSize)
			}
			requireAgain(t, result)
		})
	}
}

// locate asks sfdisk where the partitions are. With DAX also of the table behind
// the header.
func locate(t *testing.T, path string, image rootfsImage) made {
	t.Helper()
	m := partitions(t, path)
	if image.dax {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Zero(t, info.Size()%(128*mib), "NVDIMM takes whole blocks of memory")
		second := partitions(t, part(t, path, 2*mib, info.Size()-2*mib))
		require.Equal(t, m.rootStart, second.rootStart+2*mib)
		require.Equal(t, m.rootSize, second.rootSize)
		require.Equal(t, m.hashSize, second.hashSize)
	}
	return m
}

var partitionForm = regexp.MustCompile(`start= *(\d+), size= *(\d+)`)

func partitions(t *testing.T, path string) made {
	t.Helper()
	var sectors []int64
	for _, found := range partitionForm.FindAllStringSubmatch(run(t, nil, "sfdisk", "-d", path), -1) {
		for _, text := range found[1:] {
			n, err := strconv.ParseInt(text, 10, 64)
			require.NoError(t, err)
			sectors = append(sectors, n*512)
		}
	}
	sectors = append(sectors, 0, 0)
	return made{path: path, rootStart: sectors[0], rootSize: sectors[1], hashStart: sectors[2], hashSize: sectors[3]}
}

// requireInstalled looks at the file system by e2fsck and debugfs.
func requireInstalled(t *testing.T, root string) {
	t.Helper()
	run(t, nil, "e2fsck", "-f", "-n", root)
	agent, err := os.ReadFile(agentFile(t))
	require.NoError(t, err)
	for path, want := range map[string]struct {
		content []byte
		mode    string
	}{
		"/usr/bin/kata-tes-agent":                        {agent, "0755"},
		"/usr/lib/systemd/system/kata-tes-agent.service": {guest.Unit, "0644"},
		"/etc/kata-tes/agent.toml":                       {guest.Configuration, "0644"},
	} {
		dumped := filepath.Join(t.TempDir(), "dumped")
		run(t, nil, "debugfs", "-R", "dump "+path+" "+dumped, root)
		content, err := os.ReadFile(dumped)
		require.NoError(t, err)
		require.Equal(t, want.content, content, path)
		require.Regexp(t, `Type: regular +Mode: +`+want.mode+`(?s:.*)User: +0 +Group: +0 `, run(t, nil, "debugfs", "-R", "stat "+path, root))
	}
	require.Regexp(t, `Type: directory +Mode: +0755(?s:.*)User: +0 +Group: +0 `, run(t, nil, "debugfs", "-R", "stat /etc/kata-tes", root))
	require.Contains(t, run(t, nil, "debugfs", "-R",
		"stat /etc/systemd/system/kata-containers.target.wants/kata-tes-agent.service", root),
		`Fast link dest: "/usr/lib/systemd/system/kata-tes-agent.service"`)
}

// requireVerified asks veritysetup, with what Kata would be told.
func requireVerified(t *testing.T, result Result, root string, out made, hash string) {
	t.Helper()
	if hash == "" {
		require.Nil(t, result.Measured)
		return
	}
	hashes := part(t, result.Image, out.hashStart, out.hashSize)
	m := result.Measured
	if hash == "superblock" {
		require.Equal(t, "rootfs_verity.scheme=dm-verity rootfs_verity.hash="+m.RootHash, m.KernelParams)
		run(t, nil, "veritysetup", "verify", root, hashes, m.RootHash)
		return
	}
	values := map[string]string{}
	for field := range strings.SplitSeq(m.KernelVerityParams, ",") {
		key, value, _ := strings.Cut(field, "=")
		values[key] = value
	}
	require.Equal(t, m.RootHash, values["root_hash"])
	require.Equal(t, strconv.FormatInt(out.rootSize/4096, 10), values["data_blocks"])
	run(t, nil, "veritysetup", "verify", "--no-superblock", "--salt", values["salt"], "--data-block-size", values["data_block_size"],
		"--hash-block-size", values["hash_block_size"], "--data-blocks", values["data_blocks"], root, hashes, values["root_hash"])
}

// requireAgain: nothing is left to do.
func requireAgain(t *testing.T, first Result) {
	t.Helper()
	again, err := install(t, first.Image, nil)
	require.NoError(t, err)
	require.False(t, again.Changed)
	require.Empty(t, again.Put)
	require.Equal(t, first.SHA256, again.SHA256)
	require.Equal(t, first.Measured, again.Measured)
}

func requireSparse(t *testing.T, path string) {
	t.Helper()
	var s syscall.Stat_t
	require.NoError(t, syscall.Stat(path, &s))
	require.Less(t, s.Blocks*512, s.Size)
}

func fileDigest(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	info, err := f.Stat()
	require.NoError(t, err)
	sum, err := digest(context.Background(), f, info.Size())
	require.NoError(t, err)
	return sum
}

// A measured image can be made again: also later, and where it has to grow.
func TestSameBytes(t *testing.T) {
	for name, size := range map[string]int{"room": 24, "no room": 8} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := rootfsImage{root: guestRoot(t), size: size, hash: "plain"}.make(t)
			first, err := install(t, in.path, nil)
			require.NoError(t, err)
			// ext4 and e2fsprogs count seconds.
			for started := time.Now().Unix(); time.Now().Unix() == started; {
				time.Sleep(10 * time.Millisecond)
			}
			second, err := install(t, in.path, nil)
			require.NoError(t, err)
			require.Equal(t, first.SHA256, second.SHA256)
		})
	}
}

// Another profile, and back: what is replaced is what has changed.
func TestOtherProfile(t *testing.T) {
	root := guestRoot(t)
	put(t, root, "usr/sbin/mkfs.xfs", program(62), 0o755)
	in := rootfsImage{root: root}.make(t)
	first, err := install(t, in.path, nil)
	require.NoError(t, err)
	second, err := install(t, first.Image, func(r *Request) { r.Profile = "integrity" })
	require.NoError(t, err)
	require.Equal(t, []string{"/etc/kata-tes/agent.toml"}, second.Put)
	require.Equal(t, map[string]string{"trusted_store": "integrity"}, second.Profiles)
	// Without a word it stays.
	third, err := install(t, second.Image, nil)
	require.NoError(t, err)
	require.False(t, third.Changed)
	require.Equal(t, second.Profiles, third.Profiles)
}
