// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"fmt"
	"strings"
)

// A plot of two lines needs no library: they bring fonts and dozens of modules.
//
//go:embed plot.svg
var plotText string

const (
	// The area of the plot in pixels.
	left, right, top, bottom = 70, 600, 50, 330
	// grid is the MiB between two lines.
	grid = 100
)

// tick is a grid line with its label.
type tick struct {
	At    float64
	Label int
}

// series is one line of the plot.
type series struct {
	Points string
	Marks  []mark
}

// mark is a measured point, or an image that did not fit.
type mark struct {
	X, Y float64
	Fits bool
}

func plot(rows []row) (string, error) {
	largest := rows[len(rows)-1].ImageMiB
	total := rows[0].With.Total
	x := func(mebibytes int) float64 {
		return left + (right-left)*float64(mebibytes)/float64(largest)
	}
	y := func(mebibytes int) float64 {
		return bottom - (bottom-top)*float64(mebibytes)/float64(total)
	}
	draw := func(pick func(row) result) series {
		var s series
		var points []string
		for _, r := range rows {
			m := mark{X: x(r.ImageMiB), Fits: pick(r).Fits, Y: top}
			if m.Fits {
				m.Y = y(pick(r).With)
				points = append(points, fmt.Sprintf("%.1f,%.1f", m.X, m.Y))
			}
			s.Marks = append(s.Marks, m)
		}
		s.Points = strings.Join(points, " ")
		return s
	}
	data := map[string]any{
		"Left": left, "Right": right, "Top": top, "Bottom": bottom,
		"Without": draw(func(r row) result { return r.Without }),
		"With":    draw(func(r row) result { return r.With }),
	}
	var columns, lines []tick
	for _, r := range rows {
		columns = append(columns, tick{x(r.ImageMiB), r.ImageMiB})
	}
	for label := 0; label <= total; label += grid {
		lines = append(lines, tick{y(label), label})
	}
	data["Columns"], data["Lines"] = columns, lines
	return fill("plot.svg", plotText, data)
}
