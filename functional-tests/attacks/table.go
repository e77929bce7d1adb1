// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package attacks

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
)

// Attack is one thing that a host tries.
type Attack struct {
	// ID is the name of its test, unique and in lower case.
	ID string
	// Host says what the host does, Must what has to happen then, Gain what the
	// host would have gained otherwise.
	Host, Must, Gain string
	// Code is the guest's refusal, Says a part of its sentence. OK: nothing is
	// refused, because nothing is lost by it.
	Code codes.Code
	Says string
	// Limit: the attack succeeds, and we say so. No defence is claimed.
	Limit bool
	// Rest: tried with TES_ALL=1 only, as one much like others that are always
	// tried.
	Rest bool
}

// Group is what belongs together. After each, an honest host finds the guest in
// order.
type Group struct {
	Name, Title string
	Attacks     []Attack
}

// Table are all attacks, in the order in which they are tried.
var Table = slices.Concat(diskRows, guestRows, callRows)

// Markdown is the table as docs/threat-model.md has it.
func Markdown() string {
	var out strings.Builder
	for _, g := range Table {
		fmt.Fprintf(&out, "### %s\n\n| attack | what the host does | what happens | what it would have gained |\n|---|---|---|---|\n", g.Title)
		for _, a := range g.Attacks {
			fmt.Fprintf(&out, "| `%s/%s`%s | %s | %s | %s |\n", g.Name, a.ID, a.mark(), cell(a.Host), cell(a.outcome()), cell(a.Gain))
		}
		out.WriteString("\n")
	}
	return out.String()
}

// outcome is what must happen, with the refusal that the test expects.
func (a Attack) outcome() string {
	switch {
	case a.Limit:
		return "**not detected**: " + a.Must
	case a.Code == codes.OK:
		return "harmless: " + a.Must
	case a.Says == "":
		return fmt.Sprintf("refused, %s: %s", a.Code, a.Must)
	}
	return fmt.Sprintf("refused, %s (“%s”): %s", a.Code, a.Says, a.Must)
}

// mark tells attacks that are not tried each time.
func (a Attack) mark() string {
	if a.Rest {
		return " °"
	}
	return ""
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
