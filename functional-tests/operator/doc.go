// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package operator has the operator's tool, kata-tes, put the runtime on a node
// and take it out again: containerd and Kata as kata-deploy lays them out, with
// nothing of ours, until a pod has its store and the node is as before.
package operator
