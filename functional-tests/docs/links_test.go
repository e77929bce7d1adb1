// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pages are the Markdown files of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	require.NoError(t, filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "build" || entry.Name() == ".git"):
			return fs.SkipDir
		case filepath.Ext(path) != ".md", entry.Name() == "page.md": // the beginning of a page that is made elsewhere
			return nil
		}
		all = append(all, path)
		return nil
	}))
	require.NotEmpty(t, all)
	return all
}

var (
	link  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	title = regexp.MustCompile(`(?m)^#+ (.+)$`)
	code  = regexp.MustCompile("(?ms)^```.*?^```|`[^`\n]*`")
)

// TestLinks: what a page links to is there, the heading as well.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		content, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(string(content), ""), -1) {
			path, heading, _ := strings.Cut(match[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			_, err := os.Stat(target)
			if !assert.NoError(t, err, "%s links to %s", page, match[1]) {
				continue
			}
			if heading != "" {
				assert.Contains(t, anchors(t, target), heading, "%s links to %s", page, match[1])
			}
		}
	}
}

// anchors are the headings of a page as its links name them.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	content, err := os.ReadFile(page)
	require.NoError(t, err)
	dropped := regexp.MustCompile(`[^a-z0-9 _-]`)
	var all []string
	for _, match := range title.FindAllStringSubmatch(string(content), -1) {
		all = append(all, strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-"))
	}
	return all
}

// TestEachPageIsInTheIndex: docs/README.md leads to all of them.
func TestEachPageIsInTheIndex(t *testing.T) {
	index, err := os.ReadFile(repository + "/docs/README.md")
	require.NoError(t, err)
	for _, page := range pages(t) {
		if name := filepath.Base(page); filepath.Base(filepath.Dir(page)) == "docs" && name != "README.md" {
			assert.Contains(t, string(index), "("+name+")")
		}
	}
}

// TestEachStepHasAPlace: docs/how-it-works.md names a place in the code in
// each of its steps. That the places exist is TestLinks' affair.
func TestEachStepHasAPlace(t *testing.T) {
	page, err := os.ReadFile(repository + "/docs/how-it-works.md")
	require.NoError(t, err)
	steps := regexp.MustCompile(`(?m)^\d+\. .*$`).FindAllString(string(page), -1)
	require.NotEmpty(t, steps)
	for _, step := range steps {
		require.Regexp(t, `\]\(\.\./[a-z0-9/-]+/[a-z0-9_]+\.(go|proto)\)`, step)
	}
}
