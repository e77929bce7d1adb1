// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package verity

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// How Kata's runtime is told of a measured root: since Kata 3.27 by
// kernel_verity_params, for a hash partition without superblock, which the
// kernel itself sets up (dm-mod.create). Before by two words in kernel_params,
// for a hash partition with superblock, which an initrd set up.

// KernelVerityParams is the value of Kata's kernel_verity_params.
func KernelVerityParams(p Params, root []byte) string {
	return fmt.Sprintf("root_hash=%x,salt=%x,data_blocks=%d,data_block_size=%d,hash_block_size=%d",
		root, p.Salt, p.DataBlocks, p.DataBlockSize, p.HashBlockSize)
}

// ParseKernelVerityParams is its inverse, as lenient as Kata's own parser
// (ParseKernelVerityParams of virtcontainers).
func ParseKernelVerityParams(text string) (p Params, root []byte, err error) {
	values := map[string]string{}
	for field := range strings.SplitSeq(text, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		key, value, found := strings.Cut(field, "=")
		if !found {
			return Params{}, nil, fmt.Errorf("kernel_verity_params: %.60q has no value", field)
		}
		values[key] = value
	}
	number := func(key string) int64 {
		n, e := strconv.ParseInt(values[key], 10, 64)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("kernel_verity_params: %s is no number: %.60q", key, values[key]))
		}
		return n
	}
	bytes := func(key string) []byte {
		b, e := hex.DecodeString(values[key])
		if e != nil || len(b) == 0 {
			err = errors.Join(err, fmt.Errorf("kernel_verity_params: %s is not hexadecimal: %.80q", key, values[key]))
		}
		return b
	}
	root = bytes("root_hash")
	p = Params{
		Salt: bytes("salt"), DataBlocks: number("data_blocks"),
		DataBlockSize: number("data_block_size"), HashBlockSize: number("hash_block_size"),
	}
	if err != nil {
		return Params{}, nil, err
	}
	return p, root, p.Check()
}

const (
	schemeWord = "rootfs_verity.scheme="
	hashWord   = "rootfs_verity.hash="
)

// KernelParams puts the root hash into the words of a kernel command line, in
// place of the one that is there.
func KernelParams(line string, root []byte) string {
	var words []string
	for _, word := range strings.Fields(line) {
		if !strings.HasPrefix(word, schemeWord) && !strings.HasPrefix(word, hashWord) {
			words = append(words, word)
		}
	}
	return strings.Join(append(words, schemeWord+"dm-verity", hashWord+hex.EncodeToString(root)), " ")
}

// RootHashOf is the root hash in a kernel command line; nil without one.
func RootHashOf(line string) []byte {
	for _, word := range strings.Fields(line) {
		if value, found := strings.CutPrefix(word, hashWord); found {
			root, err := hex.DecodeString(value)
			if err != nil {
				return nil
			}
			return root
		}
	}
	return nil
}
