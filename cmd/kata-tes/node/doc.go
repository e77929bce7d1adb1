// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package node looks at a node without changing anything: which containerd and
// which Kata Containers it has, what their configurations say when all drop-ins
// are merged, and which runtime handlers come of it.
//
// A node is a folder that stands for its /, so that one code serves the node
// itself ("/"), a node that is mounted elsewhere (/host in a DaemonSet), and the
// trees of tests. All paths that go in or out are the node's own. Nothing below
// the folder can lead out of it, whatever symbolic links there are.
//
// Whether what is found is good is left to others: install and doctor.
package node
