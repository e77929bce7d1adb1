// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// repository is the root of the source.
const repository = "../.."

// source is a Go file that is no test.
type source struct {
	// folder is below the repository.
	folder string
	file   *ast.File
}

// sources are the files below the folders.
func sources(t *testing.T, folders ...string) []source {
	t.Helper()
	var all []source
	for _, folder := range folders {
		require.NoError(t, filepath.WalkDir(filepath.Join(repository, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			below, err := filepath.Rel(repository, filepath.Dir(path))
			all = append(all, source{folder: below, file: file})
			return err
		}))
	}
	require.NotEmpty(t, all)
	return all
}

// text is a string of the source, its parts joined. Empty where a part is no
// literal.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			value, _ := strconv.Unquote(e.Value) // the parser has seen it
			return value
		}
	case *ast.BinaryExpr:
		left, right := text(e.X), text(e.Y)
		if e.Op == token.ADD && left != "" && right != "" {
			return left + right
		}
	}
	return ""
}

// called is the name of what a call calls, such as errors.New.
func called(call *ast.CallExpr) string {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if owner, ok := selector.X.(*ast.Ident); ok {
		return owner.Name + "." + selector.Sel.Name
	}
	return selector.Sel.Name
}
