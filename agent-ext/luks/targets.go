// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package luks

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Targets are the device-mapper targets that an encryption needs.
func (e Encryption) Targets() []string {
	if e.seal == nil {
		return []string{"crypt"}
	}
	return []string{"crypt", "integrity"}
}

// errTooLong says that the list did not fit.
var errTooLong = errors.New("the list of targets is too long")

// listTries is how often the list is asked for. The kernel counts first and fills
// in then, without a lock between the two: a module that registers a target
// meanwhile makes the list too long, however much room it was given.
const listTries = 10

// KernelTargets are those that the kernel has now, built in or loaded (kernel,
// dm-ioctl.h: DM_LIST_VERSIONS). Without device-mapper there are none.
func KernelTargets() ([]string, error) {
	return listTargets(func() ([]byte, error) { return ask(unix.DM_LIST_VERSIONS, "", 0) })
}

func listTargets(list func() ([]byte, error)) (names []string, err error) {
	for range listTries {
		answer, err := list()
		if errors.Is(err, ErrNoMapping) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("asking for device-mapper's targets: %w", err)
		}
		if names, err = parseVersions(answer); !errors.Is(err, errTooLong) {
			return names, err
		}
	}
	return nil, fmt.Errorf("asking for device-mapper's targets: %w", errTooLong)
}

// parseVersions reads a list of struct dm_target_versions: the distance to the
// next, three numbers, and a name.
func parseVersions(answer []byte) ([]string, error) {
	const head = 16
	if len(answer) < unix.SizeofDmIoctl {
		return nil, fmt.Errorf("device-mapper's answer has %d bytes only", len(answer))
	}
	if binary.NativeEndian.Uint32(answer[28:])&unix.DM_BUFFER_FULL_FLAG != 0 {
		return nil, errTooLong
	}
	offset := uint64(binary.NativeEndian.Uint32(answer[16:]))
	var names []string
	for {
		if offset+head > uint64(len(answer)) {
			return nil, errors.New("device-mapper's answer is cut short")
		}
		entry := answer[offset:]
		names = append(names, cString(entry[head:]))
		next := uint64(binary.NativeEndian.Uint32(entry))
		if next == 0 {
			return names, nil
		}
		if next < head {
			return nil, errors.New("device-mapper's answer points to itself")
		}
		offset += next
	}
}
