// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestModes starts a pod with a further container, by a containerd that has left
// the umask to its children, and looks at each file, socket and folder that is
// there afterwards. What is not in the list was made by nobody we know.
func TestModes(t *testing.T) {
	n := newNode(t)
	old := unix.Umask(0)
	t.Cleanup(func() { unix.Umask(old) })
	n.mustStart("sandbox", "sandbox")
	n.mustStart("further", "sandbox")
	ours := []struct {
		path *regexp.Regexp
		mode fs.FileMode
	}{
		{regexp.MustCompile(`^run$`), 0o711 | fs.ModeDir}, // node_exporter passes through to the metrics
		{regexp.MustCompile(`^run/sandbox$`), 0o700 | fs.ModeDir},
		{regexp.MustCompile(`^run/sandbox/sandbox\.json$`), 0o600},
		{regexp.MustCompile(`^run/sandbox/status\.sock$`), 0o600 | fs.ModeSocket},
		{regexp.MustCompile(`^bundles/(sandbox|further)/kata-tes\.json$`), 0o600},
		{regexp.MustCompile(`^bundles/(sandbox|further)/address$`), 0o600},
		{regexp.MustCompile(`^s/[0-9a-f]{64}$`), 0o600 | fs.ModeSocket},
	}
	// The test's, and the stand-in's, which has sockets as Kata's own shim has.
	theirs := regexp.MustCompile(`^(\.|s|notes|notes/.*|bundles|bundles/[a-z]+|bundles/[a-z]+/(group|shim\.pid)|config\.toml|` + innerName + `)$`)
	inner, err := os.ReadFile(n.path("bundles", "sandbox", recordFile))
	require.NoError(t, err)
	found := map[string]int{}
	require.NoError(t, filepath.WalkDir(n.dir, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		name, err := filepath.Rel(n.dir, path)
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		if theirs.MatchString(name) || regexp.MustCompile(`"inner":"unix://`+regexp.QuoteMeta(path)+`"`).Match(inner) {
			return nil
		}
		for _, one := range ours {
			if one.path.MatchString(name) {
				require.Equal(t, one.mode, info.Mode(), name)
				found[one.path.String()]++
				return nil
			}
		}
		t.Errorf("%s (%s) is in no list", name, info.Mode())
		return nil
	}))
	require.Len(t, found, len(ours), "found %v", found)
}

// A link in the way is replaced and not written through, and none leads the log
// elsewhere.
func TestPlantedLinks(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("x"), 0o600))
	path := filepath.Join(dir, "address")
	for _, name := range []string{path, path + ".new"} {
		require.NoError(t, os.Symlink(victim, name))
	}
	require.NoError(t, replaceFile(path, []byte("new")))
	content, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "x", string(content))
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())

	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "elsewhere"), 0o600))
	require.NoError(t, os.Symlink("elsewhere", filepath.Join(dir, logFIFO)))
	_, err = openFIFO(filepath.Join(dir, logFIFO))
	require.ErrorIs(t, err, unix.ELOOP)

	// A socket's place, too: bind(2) follows no link.
	link := filepath.Join(dir, "socket")
	require.NoError(t, os.Symlink(filepath.Join(dir, "nowhere"), link))
	_, err = listen("unix://" + link)
	require.ErrorIs(t, err, unix.EADDRINUSE)
	// And what is removed is the socket that was recorded, never a link's target.
	var st unix.Stat_t
	require.NoError(t, unix.Lstat(victim, &st))
	require.NoError(t, os.Remove(link))
	require.NoError(t, os.Symlink(victim, link))
	require.NoError(t, newSocketFile(link, st).remove())
	require.FileExists(t, victim)
}
