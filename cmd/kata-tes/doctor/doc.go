// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package doctor looks at everything that a trusted store needs on a node, and
// says of each what is wrong and what to do. It changes nothing, and works
// before, after and without an installation.
//
// Each check is a value in a list: a name, a function that looks, and a remedy.
// A new one is a line in one of the lists (node.go, containerd.go, handler.go,
// sandbox.go) and a function. No check relies on another's outcome; one that
// can't be made says so, and is not ok.
package doctor
