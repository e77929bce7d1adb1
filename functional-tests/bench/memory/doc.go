// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package memory measures how much of a guest's memory an image takes, with a
// trusted store and without (`make memory`).
package memory
