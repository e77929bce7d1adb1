// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const output = `node: up after 7.0 s
memory-result {"image_mib":32,"Store":false,"Fits":true,"Total":405,"Before":90,"With":125}
memory-result {"image_mib":256,"Store":false,"Fits":false,"Total":405,"Before":90,"With":0}
memory-result {"image_mib":32,"Store":true,"Fits":true,"Total":405,"Before":95,"With":97}
memory-result {"image_mib":256,"Store":true,"Fits":true,"Total":405,"Before":95,"With":99}
PASS
`

func TestReport(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, run(strings.NewReader(output), folder))
	page, err := os.ReadFile(filepath.Join(folder, "memory.md"))
	require.NoError(t, err)
	require.Contains(t, string(page), "\n| 32 | 125 | 35 | 97 | 2 |\n| 256 | no space left on device | does not fit | 99 | 4 |\n")

	picture, err := os.Open(filepath.Join(folder, "memory.svg"))
	require.NoError(t, err)
	defer func() { require.NoError(t, picture.Close()) }()
	circles := 0
	for decoder := xml.NewDecoder(picture); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err, "well-formed")
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "circle" {
			circles++
		}
	}
	require.Equal(t, 3+2, circles, "three measured points and the legend")
}

func TestReportRefuses(t *testing.T) {
	for name, input := range map[string]string{
		"nothing":        "PASS\n",
		"half":           `memory-result {"image_mib":32,"Store":false}`,
		"not a result":   `memory-result {`,
		"only one store": `memory-result {"image_mib":32,"Store":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, run(strings.NewReader(input), t.TempDir()))
		})
	}
}
