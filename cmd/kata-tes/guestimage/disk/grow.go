// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"errors"
	"fmt"
	"math"
)

const (
	// alignment of partitions, in bytes, as parted's.
	alignment = 1 << 20
	// nvdimmAlignment is what the size of an image with a header for DAX is a
	// multiple of: a memory block, in which the guest takes it over
	// (IMAGE_SIZE_ALIGNMENT_MB of image_builder.sh).
	nvdimmAlignment = 128 << 20
)

// Grow gives the layout with a root partition that is larger by more bytes or
// somewhat beyond, and room for hash bytes of hash tree behind it, for which the
// size of the root partition is asked for.
func (l Layout) Grow(more int64, hash func(root int64) int64) (Layout, error) {
	if l.GPT {
		return Layout{}, errors.New("the root file system has too little room, and partitions of a GPT can't be enlarged here: " +
			"make the image with more room (ROOT_FREE_SPACE of Kata's image builder)")
	}
	end := l.Root.End()
	if l.Hash != nil {
		end = l.Hash.End()
	}
	// What was left behind the last partition stays so.
	behind := l.Size - end
	grown := l
	grown.Root.Size = roundUp(l.Root.End()+more, alignment) - l.Root.Start
	end = grown.Root.End()
	if l.Hash != nil {
		grown.Hash = &Extent{Start: end, Size: max(l.Hash.Size, roundUp(hash(grown.Root.Size), alignment))}
		end = grown.Hash.End()
	}
	grown.Size = end + behind
	if l.DAX > 0 {
		grown.Size = roundUp(grown.Size, nvdimmAlignment)
	}
	// An MBR counts sectors in 32 bits.
	if grown.Size > maxSize || grown.Size/Sector > math.MaxUint32 {
		return Layout{}, fmt.Errorf("the image would have %d bytes, more than a guest image can have", grown.Size)
	}
	return grown, nil
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }
