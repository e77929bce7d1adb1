// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package image pulls container images inside the guest, as CoCo's image-rs
// does for kata-agent: layers are unpacked below one folder, the work folder,
// and a container's root is an overlay whose upper directory is there as well.
// With a trusted store that folder is the store.
//
//	layers/<number>          a layer, shared by all images that have it
//	overlay/<container id>/  upperdir and workdir of one container
//
// What is known of layers is kept in memory: the folder holds nothing else.
//
// Layers are unpacked by containerd's archive package: it knows overlayfs'
// whiteouts, and needs three further modules where umoci's needs a dozen.
package image

// WorkDir is where Kata's agent has images pulled to.
const WorkDir = "/run/kata-containers/image"
