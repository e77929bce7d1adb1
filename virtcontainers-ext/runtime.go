// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// maxState bounds Kata's persisted state in bytes; it grows with the pod's
	// containers, devices and mounts.
	maxState = 16 << 20
	// maxURL bounds an address in bytes: a scheme and a socket's path.
	maxURL = 256
	// askTimeout bounds one question to Kata's shim, so that a hung one leaves
	// time for the persisted state.
	askTimeout = 2 * time.Second
)

// kataRuntime is a sandbox as one of Kata's runtimes keeps it.
type kataRuntime interface {
	// served asks the runtime's running shim for its agent's address.
	served(ctx context.Context) (string, error)
	// persisted reads the address from what the shim wrote to disk.
	persisted() (string, error)
}

// askAddress takes the living answer before the written one.
func askAddress(ctx context.Context, r kataRuntime) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	url, servedErr := r.served(ctx)
	if servedErr == nil {
		servedErr = checkURL(url)
	}
	if servedErr == nil {
		return url, nil
	}
	url, persistedErr := r.persisted()
	if persistedErr == nil {
		persistedErr = checkURL(url)
	}
	if persistedErr == nil {
		return url, nil
	}
	return "", errors.Join(servedErr, persistedErr)
}

// checkURL makes sure that it is an address that a dialer can be given.
func checkURL(url string) error {
	for _, scheme := range []string{"vsock://", "hvsock://", "unix://"} {
		rest, ok := strings.CutPrefix(url, scheme)
		if ok && rest != "" && len(url) <= maxURL && !strings.ContainsFunc(rest, unprintable) {
			return nil
		}
	}
	return fmt.Errorf("%.100q is no address of an agent", url)
}

func unprintable(r rune) bool { return r <= ' ' || r == 0x7f }

// goRuntime is Kata's Go runtime. dir is /run/vc/sbs/<sandbox id>.
type goRuntime struct{ dir string }

func (g goRuntime) served(ctx context.Context) (string, error) {
	return getManagement(ctx, filepath.Join(g.dir, "shim-monitor.sock"), "/agent-url")
}

func (g goRuntime) persisted() (url string, err error) {
	path := filepath.Join(g.dir, "persist.json")
	f, err := os.Open(path) //nolint:gosec // the folder is Kata's own and the id was checked
	if err != nil {
		return "", fmt.Errorf("reading Kata's state: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var state struct {
		AgentState struct{ URL string }
	}
	if err := json.NewDecoder(io.LimitReader(f, maxState)).Decode(&state); err != nil {
		return "", fmt.Errorf("reading Kata's state in %s: %w", path, err)
	}
	return state.AgentState.URL, nil
}
