// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package qemuwrap becomes QEMU: it stands where Kata expects QEMU, adds a
// monitor for the sandboxes of our shim, and executes the real one in its own
// place, so that process id, descriptors, environment, standard streams and
// exit status stay what Kata made them.
//
// A monitor is a socket on the host. The guest sees no device of it, so that
// nothing changes in what a confidential guest measures.
package qemuwrap
