// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written as a number or with KiB, MiB, GiB, TiB.
type Size uint64

var units = map[string]Size{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

// UnmarshalText parses what TOML has as a string.
func (s *Size) UnmarshalText(text []byte) error {
	digits, unit := string(text), Size(1)
	for suffix, factor := range units {
		if rest, ok := strings.CutSuffix(digits, suffix); ok {
			digits, unit = strings.TrimSpace(rest), factor
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a size, write e.g. \"64MiB\"", text)
	}
	over, product := bits.Mul64(n, uint64(unit))
	if over != 0 {
		return fmt.Errorf("%q is too large", text)
	}
	*s = Size(product)
	return nil
}

// Duration is a time span in Go's notation, e.g. "20s".
type Duration time.Duration

// UnmarshalText parses what TOML has as a string.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a time span, write e.g. \"20s\"", text)
	}
	*d = Duration(v)
	return nil
}
