// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The header for DAX is the kernel's struct nd_pfn_sb (drivers/nvdimm/pfn.h),
// as Kata's nsdax.gpl.c writes it: where the data begins, and nothing that
// depends on the image's size.
const (
	daxOffset    = 4096
	daxSize      = 4096
	daxSignature = "NVDIMM_PFN_INFO\x00"
	daxDataAt    = 56
)

// readDAX gives the header's length in bytes, 0 when there is none.
func readDAX(image io.ReaderAt, size int64) (int64, error) {
	b := make([]byte, daxSize)
	if _, err := image.ReadAt(b, daxOffset); err != nil {
		return 0, errors.New("the image is cut off")
	}
	if !bytes.HasPrefix(b, []byte(daxSignature)) {
		return 0, nil
	}
	data := binary.LittleEndian.Uint64(b[daxDataAt:])
	if data < daxOffset+daxSize || data%Sector != 0 || data > uint64(size)-Sector {
		return 0, fmt.Errorf("the header for DAX is damaged: it says that the data begins at %d", data)
	}
	return int64(data), nil
}
