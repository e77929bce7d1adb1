// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"github.com/kata-tes/kata-tes/cmd/kata-tes/journal"
	"github.com/kata-tes/kata-tes/cmd/kata-tes/node"
)

// Record is what is written down about the installation of a node.
type Record struct {
	Version  string   `json:"version"`
	Handlers []string `json:"handlers"`
	// RestartPending says that kata-tes has not restarted containerd since; it
	// does not know of other restarts.
	RestartPending bool `json:"restartPending"`
	// CutOff says that an installation, or its removal, did not come to its end.
	CutOff bool `json:"cutOff"`
	// Changed are files that somebody else has changed since.
	Changed []string `json:"changed,omitempty"`
}

// Recorded reads what is written down about a node; nil when nothing is: not
// installed, or by hand. It changes nothing, and does not wait for who does.
func Recorded(tree *node.Tree) (*Record, error) {
	j, err := journal.Look(tree)
	if err != nil {
		return nil, err
	}
	var i info
	if found, err := j.Info(&i); err != nil || !found {
		return nil, err
	}
	_, conflicts, err := j.Before()
	if err != nil {
		return nil, err
	}
	r := &Record{Version: i.Version, Handlers: i.Handlers, RestartPending: i.RestartPending, CutOff: j.CutOff()}
	for _, c := range conflicts {
		r.Changed = append(r.Changed, c.Path)
	}
	return r, nil
}
