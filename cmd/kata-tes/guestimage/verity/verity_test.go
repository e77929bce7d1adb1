// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package verity

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAsVeritysetup: the trees are veritysetup's, for sizes on both sides of
// each new level.
func TestAsVeritysetup(t *testing.T) {
	veritysetup, err := exec.LookPath("veritysetup")
	if err != nil {
		veritysetup = "/usr/sbin/veritysetup"
	}
	random := rand.NewChaCha8([32]byte{1})
	for _, c := range []struct{ blocks, data, hash int64 }{
		{2, 4096, 4096},
		{128, 4096, 4096},
		{129, 4096, 4096},
		{1024, 4096, 4096},
		{300, 512, 1024},
		{1025, 1024, 512},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			data := make([]byte, c.blocks*c.data)
			_, err := random.Read(data)
			require.NoError(t, err)
			folder := t.TempDir()
			root, hash := filepath.Join(folder, "root"), filepath.Join(folder, "hash")
			require.NoError(t, os.WriteFile(root, data, 0o600))
			require.NoError(t, os.WriteFile(hash, nil, 0o600))
			p := Params{Salt: []byte("some salt"), DataBlocks: c.blocks, DataBlockSize: c.data, HashBlockSize: c.hash}
			out, err := exec.Command(veritysetup, "format", root, hash, "--salt", hex.EncodeToString(p.Salt),
				fmt.Sprintf("--data-block-size=%d", c.data), fmt.Sprintf("--hash-block-size=%d", c.hash)).CombinedOutput()
			require.NoError(t, err, "%s", out)
			stored, err := os.ReadFile(hash)
			require.NoError(t, err)

			tree, err := Build(t.Context(), p, bytes.NewReader(data))
			require.NoError(t, err)
			require.Contains(t, string(out), fmt.Sprintf("%x", tree.Root))
			require.Equal(t, p.TreeSize(), int64(len(tree.Bytes)))
			same, err := tree.Stored(bytes.NewReader(stored), max(SuperblockSize, c.hash))
			require.NoError(t, err)
			require.True(t, same)
			parsed, err := ParseSuperblock(stored)
			require.NoError(t, err)
			require.Equal(t, p, parsed)

			stored[len(stored)-1] ^= 1
			same, err = tree.Stored(bytes.NewReader(stored), max(SuperblockSize, c.hash))
			require.NoError(t, err)
			require.False(t, same)
		})
	}
}

func TestTooLittleData(t *testing.T) {
	p := Params{Salt: []byte{1}, DataBlocks: 3, DataBlockSize: 4096, HashBlockSize: 4096}
	_, err := Build(t.Context(), p, strings.NewReader("short"))
	require.Error(t, err)
}

func TestKernelVerityParams(t *testing.T) {
	p := Params{Salt: []byte{1, 2}, DataBlocks: 77, DataBlockSize: 4096, HashBlockSize: 512}
	text := KernelVerityParams(p, []byte{0xab})
	require.Equal(t, "root_hash=ab,salt=0102,data_blocks=77,data_block_size=4096,hash_block_size=512", text)
	parsed, root, err := ParseKernelVerityParams(text)
	require.NoError(t, err)
	require.Equal(t, p, parsed)
	require.Equal(t, []byte{0xab}, root)
	for _, bad := range []string{"", "root_hash", "root_hash=xy,salt=00", strings.Replace(text, "77", "1", 1), strings.Replace(text, "512", "500", 1)} {
		_, _, err := ParseKernelVerityParams(bad)
		require.Error(t, err, bad)
	}
}

func TestKernelParams(t *testing.T) {
	require.Equal(t, "rootfs_verity.scheme=dm-verity rootfs_verity.hash=01", KernelParams("", []byte{1}))
	line := KernelParams("a rootfs_verity.scheme=dm-verity rootfs_verity.hash=ff b=\"c d\"", []byte{2})
	require.Equal(t, "a b=\"c d\" rootfs_verity.scheme=dm-verity rootfs_verity.hash=02", line)
	require.Equal(t, []byte{2}, RootHashOf(line))
	require.Nil(t, RootHashOf("quiet"))
	require.Nil(t, RootHashOf("rootfs_verity.hash=x"))
}

func FuzzSuperblock(f *testing.F) {
	b := make([]byte, SuperblockSize)
	copy(b, superMagic)
	f.Add(b)
	good := bytes.Clone(b)
	good[superVersion], good[superHashType] = 1, 1
	copy(good[superAlgorithm:], "sha256")
	good[superDataSize+1], good[superHashSize+1], good[superBlocks], good[superSaltSize] = 16, 16, 9, 32
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseSuperblock(b)
		if err != nil {
			return
		}
		require.NoError(t, p.Check())
		again := bytes.Clone(b)
		require.NoError(t, UpdateSuperblock(again, p))
		q, err := ParseSuperblock(again)
		require.NoError(t, err)
		require.Equal(t, p, q)
	})
}

func FuzzKernelVerityParams(f *testing.F) {
	f.Add("root_hash=ab,salt=0102,data_blocks=77,data_block_size=4096,hash_block_size=512")
	f.Fuzz(func(t *testing.T, text string) {
		p, root, err := ParseKernelVerityParams(text)
		if err != nil {
			return
		}
		q, again, err := ParseKernelVerityParams(KernelVerityParams(p, root))
		require.NoError(t, err)
		require.Equal(t, p, q)
		require.Equal(t, root, again)
	})
}
