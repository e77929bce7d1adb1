// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package generated

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
)

// fieldComments are the comments above the fields of the package's structs, by
// Struct.Field, each as one line.
func fieldComments(folder string) (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	comments := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				collect(comments, spec.Name.Name, s)
			}
			return false
		})
	}
	return comments, nil
}

func collect(comments map[string]string, owner string, s *ast.StructType) {
	for _, field := range s.Fields.List {
		text := strings.Join(strings.Fields(field.Doc.Text()), " ")
		if text == "" {
			continue
		}
		for _, name := range field.Names {
			comments[owner+"."+name.Name] = text
		}
	}
}
