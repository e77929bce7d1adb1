// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	agent "github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols/grpc"
	"github.com/mdlayher/vsock"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	consolePort = 1026
	// guestLimit bounds a command in the guest unless the context does.
	guestLimit = 2 * time.Minute
	// A terminal's input line is cut at 4096 bytes (N_TTY).
	longestLine = 4000
)

// Guest is a pod's virtual machine, by the debug console of its agent.
type Guest struct {
	CID uint32
}

// Guest finds the pod's.
func (p *Pod) Guest() (Guest, error) {
	qemu, err := p.QEMU()
	if err != nil {
		return Guest{}, err
	}
	for _, argument := range qemu.Args {
		if _, rest, ok := strings.Cut(argument, "guest-cid="); ok {
			number, _, _ := strings.Cut(rest, ",")
			cid, err := strconv.ParseUint(number, 10, 32)
			if err != nil {
				return Guest{}, fmt.Errorf("vsock address of sandbox %s: %w", p.ID, err)
			}
			return Guest{CID: uint32(cid)}, nil
		}
	}
	return Guest{}, fmt.Errorf("QEMU of sandbox %s has no vsock: %q", p.ID, qemu.Args)
}

// MustGuest is Guest for tests that need it.
func (p *Pod) MustGuest(t testing.TB) Guest {
	t.Helper()
	g, err := p.Guest()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Run runs shell commands in the guest, as root in a shell of their own, and
// gives what they printed (both streams) and the exit status.
func (g Guest) Run(ctx context.Context, script string) (output string, status int, err error) {
	conn, err := vsock.Dial(g.CID, consolePort, nil)
	if err != nil {
		return "", 0, fmt.Errorf("console of guest %d: %w", g.CID, err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, guestLimit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	started := time.Now()
	output, status, err = converse(conn, script)
	if err != nil {
		return output, 0, fmt.Errorf("running %q in guest %d: %w (%w) after %v; it printed %q", script, g.CID, err, context.Cause(ctx), time.Since(started), output)
	}
	return output, status, nil
}

// converse types one line and reads until the end mark. The marks are typed
// in two pieces, so that the terminal's echo of the line is not taken for them.
func converse(conn net.Conn, script string) (string, int, error) {
	nonce := rand.Text()
	begin, end := "BEGIN-"+nonce+"\n", "END-"+nonce+" "
	line := fmt.Sprintf(` stty -echo; echo BEGIN-""%s; sh -c '%s' </dev/null 2>&1; echo END-""%s $?; exit`+"\n",
		nonce, strings.ReplaceAll(script, "'", `'\''`), nonce)
	for _, part := range strings.Split(line, "\n") {
		if len(part) > longestLine {
			return "", 0, fmt.Errorf("a line of %d bytes is too long for a console", len(part))
		}
	}
	if _, err := conn.Write([]byte(line)); err != nil {
		return "", 0, err
	}
	var seen bytes.Buffer
	chunk := make([]byte, 32<<10)
	for {
		n, err := conn.Read(chunk)
		seen.Write(chunk[:n])
		text := strings.ReplaceAll(seen.String(), "\r\n", "\n")
		_, text, _ = strings.Cut(text, begin)
		output, rest, found := strings.Cut(text, end)
		if number, _, complete := strings.Cut(rest, "\n"); found && complete {
			status, err := strconv.Atoi(number)
			return output, status, err
		}
		if err != nil {
			return seen.String(), 0, err
		}
	}
}

// Must is Run for commands that have to succeed.
func (g Guest) Must(t testing.TB, script string) string {
	t.Helper()
	output, status, err := g.Run(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	if status != 0 {
		t.Fatalf("%q in the guest ended with exit status %d:\n%s", script, status, output)
	}
	return output
}

// Mount is a mount on one of the guest's folders for images.
type Mount struct {
	Source     string `json:"source"`
	FSType     string `json:"fstype"`
	Mountpoint string `json:"mountpoint"`
	Options    string `json:"options"`
}

// Record is a CreateContainer as the stand-in for kata-agent wrote it down,
// with what was mounted on the folders for images at that moment.
type Record struct {
	Number  int
	Uptime  string
	Mounts  []Mount
	Request *agent.CreateContainerRequest
}

// Records gives them in the order of the requests.
func (g Guest) Records(t testing.TB) []Record {
	t.Helper()
	var records []Record
	for _, line := range strings.Split(strings.TrimSpace(g.Must(t, "cat /run/standin/*.json")), "\n") {
		var raw struct {
			Number  int             `json:"number"`
			Uptime  string          `json:"uptime"`
			Mounts  []Mount         `json:"mounts"`
			Request json.RawMessage `json:"request"`
		}
		if err := json.Unmarshal([]byte(line), &raw); err != nil {
			t.Fatalf("record %q of the stand-in: %v", line, err)
		}
		record := Record{Number: raw.Number, Uptime: raw.Uptime, Mounts: raw.Mounts, Request: &agent.CreateContainerRequest{}}
		if err := protojson.Unmarshal(raw.Request, record.Request); err != nil {
			t.Fatalf("request in record %d of the stand-in: %v", raw.Number, err)
		}
		records = append(records, record)
	}
	return records
}
