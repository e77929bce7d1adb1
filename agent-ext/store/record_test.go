// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/stretchr/testify/require"
)

// A link in the record's way is replaced, not written through.
func TestRecordAndAPlantedLink(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("x"), 0o600))
	path := filepath.Join(dir, "record.json")
	for _, name := range []string{path, path + ".new"} {
		require.NoError(t, os.Symlink(victim, name))
	}
	require.NoError(t, record{Marker: someMarker}.write(path))
	content, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "x", string(content))
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
}

// FuzzRecord: what an earlier process left half written, or somebody else wrote,
// is refused or read as a record that writes itself again.
func FuzzRecord(f *testing.F) {
	for _, text := range []string{
		`{"marker":"` + string(someMarker) + `"}`,
		`{"marker":"` + string(someMarker) + `","disk":{"Path":"/dev/sda","Major":8,"Minor":0,"Size":1073741824},` +
			`"ready":{"Mapping":"ephemeral_image_encrypted_disk","MountPoints":["/run/image","/run/kata-containers/image"],"Size":1073709056,"Steps":[{"Name":"find","Took":1000}]}}`,
		`{"marker":"tes-"}`, `{}`, `null`, `[]`, ``, `{"marker":`,
		`{"marker":"` + string(someMarker) + `","disk":null,"ready":{"MountPoints":null}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "record.json")
		require.NoError(t, os.WriteFile(path, text, 0o600))
		r, err := readRecord(path)
		if err != nil {
			require.Nil(t, r)
			return
		}
		_, err = agentproto.ParseMarker(string(r.Marker))
		require.NoError(t, err)
		require.NoError(t, r.write(path))
		again, err := readRecord(path)
		require.NoError(t, err)
		require.Equal(t, r.Marker, again.Marker)
		require.Equal(t, r.Disk, again.Disk)
	})
}
