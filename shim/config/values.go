// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"math/bits"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// duration is a time limit such as "10s". Zero would be no limit, and there is
// no call without one.
type duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is not a time limit; write one above zero such as \"10s\" or \"1m30s\"", text)
	}
	*d = duration(v)
	return nil
}

// size is a number of bytes: "64MiB", "1G", or digits alone.
type size uint64

var units = map[string]uint64{
	"": 1, "b": 1,
	"k": 1e3, "kb": 1e3, "ki": 1 << 10, "kib": 1 << 10,
	"m": 1e6, "mb": 1e6, "mi": 1 << 20, "mib": 1 << 20,
	"g": 1e9, "gb": 1e9, "gi": 1 << 30, "gib": 1 << 30,
	"t": 1e12, "tb": 1e12, "ti": 1 << 40, "tib": 1 << 40,
}

// UnmarshalText implements encoding.TextUnmarshaler. The TOML decoder hands
// over a plain number as its digits.
func (s *size) UnmarshalText(text []byte) error {
	digits := strings.TrimRight(string(text), "bBkKmMgGtTiI ")
	unit, known := units[strings.ToLower(strings.TrimSpace(string(text[len(digits):])))]
	n, err := strconv.ParseUint(digits, 10, 64)
	over, v := bits.Mul64(n, unit)
	if err != nil || !known || over != 0 {
		return fmt.Errorf("%q is not a size; write bytes or a unit, such as \"64MiB\" or \"1Gi\"", text)
	}
	*s = size(v)
	return nil
}

// levels are logrus' names. Looked up here so that the guest of a typo is the
// operator and not each pod.
var levels = map[string]bool{
	"panic": true, "fatal": true, "error": true, "warn": true,
	"warning": true, "info": true, "debug": true, "trace": true,
}

// check verifies what can be verified without looking at the system.
func (s *section) check(path string) error {
	for _, program := range []struct{ key, value string }{
		{"inner_shim", s.InnerShim},
		{"hypervisor", s.Hypervisor},
	} {
		if program.value != "" && !filepath.IsAbs(program.value) {
			return s.wrong(path, program.key, fmt.Sprintf("%q is not an absolute path; write the whole path", program.value))
		}
	}
	if s.DevicePath != "" && (filepath.Clean(s.DevicePath) != s.DevicePath || !strings.HasPrefix(s.DevicePath, "/dev/")) {
		return s.wrong(path, "device_path", fmt.Sprintf("%q is not a path below /dev; the default is \"/dev/trusted_store\"", s.DevicePath))
	}
	switch LateStore(s.LateStore) {
	case "", LateWarn, LateRefuse:
	default:
		return s.wrong(path, "late_store", fmt.Sprintf("%q is not an answer to a store that is asked for late; use \"warn\" or \"refuse\"", s.LateStore))
	}
	if s.LogLevel != "" && !levels[s.LogLevel] {
		return s.wrong(path, "log_level", fmt.Sprintf("%q is not a level; use error, warn, info, debug or trace", s.LogLevel))
	}
	return nil
}
