// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package kubernetes has the proposal's pod on real Kubernetes: a control plane
// beside the node, the kubelet in it. It needs the test node (build tag node).
package kubernetes
