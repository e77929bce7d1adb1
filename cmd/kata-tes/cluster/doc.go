// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package cluster is the little that kata-tes asks of Kubernetes from within a
// pod of its Helm chart: to label its node, and to turn the chart's DaemonSet
// from installing to uninstalling and wait until each node is done. Kubernetes'
// own client would be most of the program; these are three requests.
package cluster
