// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/kata-tes/kata-tes/agent-ext/config"
	"github.com/kata-tes/kata-tes/agent-ext/profile"
	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/stretchr/testify/require"
)

// sealed is the configuration with profile integrity.
func sealed(t *testing.T, c config.Config) config.Config {
	t.Helper()
	c.Stores = maps.Clone(c.Stores)
	s := c.Stores[agentproto.ImageStore]
	s.Profile = profile.Integrity
	c.Stores[agentproto.ImageStore] = s
	return c
}

// someKernel has what is named.
func someKernel(t *testing.T, fileSystems string, targets []string, modules map[string]string) Kernel {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "filesystems"), []byte(fileSystems), 0o600))
	for name, text := range modules {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return Kernel{Proc: dir, Modules: dir, Targets: func() ([]string, error) { return targets, nil }}
}

func TestKernel(t *testing.T) {
	const ext4, both = "nodev\tproc\n\text4\n", "nodev\tproc\n\text4\n\txfs\n"
	plain, sealed := config.Default(), sealed(t, config.Default())
	for name, c := range map[string]struct {
		kernel        Kernel
		plain, sealed string
	}{
		"all built in":   {kernel: someKernel(t, both, []string{"crypt", "integrity"}, nil)},
		"no integrity":   {kernel: someKernel(t, both, []string{"crypt"}, nil), sealed: "no dm-integrity, which profile integrity needs"},
		"no xfs":         {kernel: someKernel(t, ext4, []string{"crypt", "integrity"}, nil), sealed: "CONFIG_XFS_FS"},
		"no dm":          {kernel: someKernel(t, both, nil, nil), plain: "no dm-crypt", sealed: "CONFIG_DM_CRYPT"},
		"all as modules": {kernel: someKernel(t, ext4, nil, map[string]string{"modules.dep": "kernel/fs/xfs/xfs.ko.xz: kernel/lib/libcrc32c.ko.xz\nkernel/drivers/md/dm-crypt.ko: kernel/drivers/md/dm-mod.ko\nkernel/drivers/md/dm-integrity.ko:\n"})},
		"listed as built in": {kernel: someKernel(t, ext4, nil, map[string]string{
			"modules.builtin": "kernel/drivers/md/dm-crypt.ko\nkernel/drivers/md/dm-integrity.ko\nkernel/fs/xfs/xfs.ko\n",
		})},
		"similar names": {kernel: someKernel(t, ext4, []string{"crypt"}, map[string]string{"modules.dep": "x/xfs_test.ko:\nx/dm-integrity-x.ko: x/xfs.ko\n"}), sealed: "no file system xfs"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, look := range []struct {
				c     config.Config
				words string
			}{{plain, c.plain}, {sealed, c.sealed}} {
				err := c.kernel.Check(look.c)
				if look.words == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, look.words)
				}
			}
		})
	}
	broken := someKernel(t, both, nil, nil)
	broken.Targets = func() ([]string, error) { return nil, errors.New("no answer") }
	require.ErrorContains(t, broken.Check(plain), "no answer")
	require.Error(t, Kernel{Proc: t.TempDir(), Modules: t.TempDir(), Targets: broken.Targets}.Check(plain))
}
