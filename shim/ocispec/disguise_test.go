// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ocispec

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestARelativePathAsks: Kubernetes accepts a devicePath without its first
// slash, and a runtime makes the device at the same place.
func TestARelativePathAsks(t *testing.T) {
	for _, path := range []string{"dev/trusted_store", "./dev/trusted_store", "../dev/trusted_store"} {
		s := read(t, devices(`{"path":"`+path+`","type":"b","major":8,"minor":1}`))
		store, err := s.Store(storePath)
		require.NoError(t, err, path)
		require.NotNil(t, store, path)
		require.Equal(t, Number{8, 1}, store.Number, path)
	}
}

// TestAMountInTheStoresPlace: volumeMounts where volumeDevices were meant must
// not become a pod without a store.
func TestAMountInTheStoresPlace(t *testing.T) {
	for _, destination := range []string{"/dev/trusted_store", "/dev//trusted_store/", "dev/trusted_store"} {
		s := read(t, `{"mounts":[{"destination":"/proc"},{"destination":"`+destination+`","type":"bind","source":"/data"}]}`)
		_, err := s.Store(storePath)
		require.ErrorIs(t, err, ErrNotBlock, destination)
		require.ErrorContains(t, err, "volumeDevices", destination)
	}
	for _, destination := range []string{"/dev", "/dev/trusted_store2", "/mnt/trusted_store", ""} {
		store, err := read(t, `{"mounts":[{"destination":"`+destination+`"}]}`).Store(storePath)
		require.NoError(t, err, destination)
		require.Nil(t, store, destination)
	}
}
