// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package chart installs the Helm chart on a real control plane without any
// node: whether the API server takes each object, what its policies refuse and
// with which words, what each service account may do, and how the DaemonSet is
// turned to uninstalling. The tests play the kubelet. That the DaemonSet's
// containers do on a node what they should is for the tests on a node.
package chart
