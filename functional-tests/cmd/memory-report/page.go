// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed page.md
var pageText string

var functions = template.FuncMap{
	// takes is what an image costs, for a person.
	"takes": func(r result) string {
		if !r.Fits {
			return "does not fit"
		}
		return fmt.Sprintf("%d", r.With-r.Before)
	},
	"used": func(r result) string {
		if !r.Fits {
			return "no space left on device"
		}
		return fmt.Sprintf("%d", r.With)
	},
}

func page(rows []row) (string, error) {
	return fill("page.md", pageText, map[string]any{"Rows": rows, "Total": rows[0].With.Total})
}

func fill(name, text string, data any) (string, error) {
	parsed, err := template.New(name).Funcs(functions).Parse(text)
	if err != nil {
		return "", fmt.Errorf("parsing %s: %w", name, err)
	}
	var out strings.Builder
	if err := parsed.Execute(&out, data); err != nil {
		return "", fmt.Errorf("filling in %s: %w", name, err)
	}
	return out.String(), nil
}
