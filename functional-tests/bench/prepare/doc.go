// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package prepare measures the guest's Prepare beside the commands that CoCo's
// Confidential Data Hub runs for the same purpose, alternating, on the same
// disks, in the test node (`make bench`).
package prepare
