// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package qmptest puts a disturbance between a client of QEMU's monitor and
// QEMU, for tests: a proxy that passes commands, descriptors and answers on and
// does harm to one of them. Nothing that ships imports it.
package qmptest
