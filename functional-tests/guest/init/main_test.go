// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/stretchr/testify/require"
)

func TestChooseConfiguration(t *testing.T) {
	const name = "agent-integrity.toml"
	text, err := os.ReadFile(filepath.Join("..", "root", "etc", "kata-tes", name))
	require.NoError(t, err)
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, name), text, 0o600))
	chosen := filepath.Join(folder, "agent.toml")

	require.NoError(t, chooseConfiguration(folder, []string{"quiet", "tes.agent=off"}))
	require.NoFileExists(t, chosen)
	require.ErrorIs(t, chooseConfiguration(folder, []string{"tes.profile=unknown"}), os.ErrNotExist)

	require.NoError(t, chooseConfiguration(folder, []string{"quiet", "tes.profile=integrity"}))
	c, err := config.Load(chosen)
	require.NoError(t, err)
	require.Equal(t, profile.Integrity, c.Stores[agentproto.ImageStore].Profile)
}
