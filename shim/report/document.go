// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Format is the document's. Fields may be added without changing it; readers
// ignore those that they don't know.
const Format = 1

const (
	// maxDocument bounds a document in bytes.
	maxDocument = 64 << 10
	// maxText and maxName bound its texts, in bytes: a reason may have a guest's
	// words in it, and a name is Kubernetes' at most.
	maxText = 8 << 10
	maxName = 253
)

// ErrNoDocument says that what came is not a document of ours.
var ErrNoDocument = errors.New("not a status document of kata-tes")

// Sandbox is the document.
type Sandbox struct {
	Format int    `json:"format"`
	ID     string `json:"sandbox"`
	// Shim is the version of the serving process.
	Shim string `json:"shim"`
	// Namespace and Pod are empty until the first container of the pod is
	// created, and where there is no Kubernetes.
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Store     Store  `json:"store"`
}

// Store is the sandbox's trusted store.
type Store struct {
	// State is one of package store's: none, preparing, ready, failed.
	State string `json:"state"`
	// Since is when it came into that state.
	Since time.Time `json:"since"`
	// Device is the host's, by number: "253:0". Empty where none was asked for.
	Device string `json:"device,omitempty"`
	Marker string `json:"marker,omitempty"`
	// Step is where a preparation is.
	Step string `json:"step,omitempty"`
	// Reason is why it failed, with what to do.
	Reason string `json:"reason,omitempty"`
	// Guest is there for a store that is ready.
	Guest *Guest `json:"guest,omitempty"`
}

// Guest is what the guest says of the store.
type Guest struct {
	Profile string `json:"profile,omitempty"`
	// SizeBytes and UsedBytes are the file system's.
	SizeBytes uint64 `json:"size_bytes,omitempty"`
	UsedBytes uint64 `json:"used_bytes,omitempty"`
	// Problem is why the rest is missing, or not to be relied upon.
	Problem string `json:"problem,omitempty"`
}

// encode writes a document that parse accepts: texts are cut where they are
// longer.
func encode(s Sandbox) ([]byte, error) {
	s.tidy()
	content, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding the status: %w", err)
	}
	return append(content, '\n'), nil
}

// parse reads a document. Its texts are short and printable then, whatever
// guest or pod has put into them: they end up on somebody's terminal.
func parse(content []byte) (Sandbox, error) {
	if len(content) > maxDocument {
		return Sandbox{}, fmt.Errorf("%w: more than %d bytes", ErrNoDocument, maxDocument)
	}
	var s Sandbox
	if err := json.Unmarshal(content, &s); err != nil {
		return Sandbox{}, fmt.Errorf("%w: %w", ErrNoDocument, err)
	}
	if s.Format != Format {
		return Sandbox{}, fmt.Errorf("%w of this release: it has format %d and this kata-tes reads %d; use the kata-tes of the shim's release", ErrNoDocument, s.Format, Format)
	}
	s.tidy()
	return s, nil
}

func (s *Sandbox) tidy() {
	for _, name := range []*string{&s.ID, &s.Shim, &s.Namespace, &s.Pod, &s.Store.State, &s.Store.Device, &s.Store.Marker, &s.Store.Step} {
		*name = printable(*name, maxName)
	}
	s.Store.Reason = printable(s.Store.Reason, maxText)
	if g := s.Store.Guest; g != nil {
		tidied := *g
		tidied.Profile, tidied.Problem = printable(g.Profile, maxName), printable(g.Problem, maxText)
		s.Store.Guest = &tidied
	}
}

// printable makes one line of a text, of limit bytes at most.
func printable(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return ' '
	}, text)
	if len(text) <= limit {
		return text
	}
	const cut = "…"
	return strings.ToValidUTF8(text[:limit-len(cut)], "") + cut
}
