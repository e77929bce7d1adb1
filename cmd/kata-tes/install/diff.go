// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"strings"
)

// context is how many equal lines are shown around a change, as diff -u does.
const contextLines = 3

// line of a diff: what it has in front is ' ', '-' or '+'.
type line struct {
	sign byte
	text string
}

// unified is the difference between two texts as diff -u and git show it. nil is
// a file that is not there.
func unified(name string, from, to []byte) string {
	var b strings.Builder
	label := func(content []byte, prefix string) string {
		if content == nil {
			return "/dev/null"
		}
		return prefix + name
	}
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", label(from, "a"), label(to, "b"))
	lines := compareLines(split(from), split(to))
	for start := 0; start < len(lines); {
		first, last := hunk(lines, start)
		if first < 0 {
			break
		}
		writeHunk(&b, lines, first, last)
		start = last
	}
	return b.String()
}

func split(content []byte) []string {
	lines := strings.SplitAfter(string(content), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// hunk finds the next changes from start on, with their context: those that are
// near enough to share it are in one.
func hunk(lines []line, start int) (first, last int) {
	first = -1
	for i := start; i < len(lines); i++ {
		if lines[i].sign == ' ' {
			continue
		}
		if first < 0 {
			first = max(start, i-contextLines)
		} else if i-last > contextLines {
			break
		}
		last = min(len(lines), i+1+contextLines)
	}
	return first, last
}

func writeHunk(b *strings.Builder, lines []line, first, last int) {
	fromLine, toLine := 1, 1
	for _, l := range lines[:first] {
		if l.sign != '+' {
			fromLine++
		}
		if l.sign != '-' {
			toLine++
		}
	}
	fromCount, toCount := 0, 0
	for _, l := range lines[first:last] {
		if l.sign != '+' {
			fromCount++
		}
		if l.sign != '-' {
			toCount++
		}
	}
	// With no line on a side, its number is that of the line before.
	if fromCount == 0 {
		fromLine--
	}
	if toCount == 0 {
		toLine--
	}
	fmt.Fprintf(b, "@@ -%d,%d +%d,%d @@\n", fromLine, fromCount, toLine, toCount)
	for _, l := range lines[first:last] {
		b.WriteByte(l.sign)
		b.WriteString(l.text)
		if !strings.HasSuffix(l.text, "\n") {
			b.WriteString("\n\\ No newline at end of file\n")
		}
	}
}

// compareLines finds the longest common subsequence of what is between the equal
// beginnings and ends: configurations are short.
func compareLines(from, to []string) []line {
	head := 0
	for head < len(from) && head < len(to) && from[head] == to[head] {
		head++
	}
	tail := 0
	for tail < len(from)-head && tail < len(to)-head && from[len(from)-1-tail] == to[len(to)-1-tail] {
		tail++
	}
	var lines []line
	for _, text := range from[:head] {
		lines = append(lines, line{' ', text})
	}
	lines = append(lines, middle(from[head:len(from)-tail], to[head:len(to)-tail])...)
	for _, text := range from[len(from)-tail:] {
		lines = append(lines, line{' ', text})
	}
	return lines
}

func middle(from, to []string) []line {
	// common[i][j] is the length for from[i:] and to[j:].
	common := make([][]int, len(from)+1)
	for i := range common {
		common[i] = make([]int, len(to)+1)
	}
	for i := len(from) - 1; i >= 0; i-- {
		for j := len(to) - 1; j >= 0; j-- {
			if from[i] == to[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var lines []line
	i, j := 0, 0
	for i < len(from) || j < len(to) {
		switch {
		case i < len(from) && j < len(to) && from[i] == to[j]:
			lines = append(lines, line{' ', from[i]})
			i, j = i+1, j+1
		case i < len(from) && (j == len(to) || common[i+1][j] >= common[i][j+1]):
			lines = append(lines, line{'-', from[i]})
			i++
		default:
			lines = append(lines, line{'+', to[j]})
			j++
		}
	}
	return lines
}
