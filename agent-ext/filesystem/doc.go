// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package filesystem makes a file system on a mapping and mounts it where the
// guest unpacks images.
//
// A mount point must be an empty directory that is no mount and is reached
// without symbolic links: a host that delays its call must not be able to
// shadow images that are there already.
package filesystem
