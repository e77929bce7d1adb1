// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package vcext

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// maxAnswer bounds what a shim's management socket may answer, in bytes.
const maxAnswer = 64 << 10

// getManagement fetches a page of a Kata shim's management server.
//
// The request is HTTP/1.0, to which a server must answer with a plain body that
// ends with the connection (RFC 9112, 6.3 and 7): what is needed of HTTP fits
// below, and net/http with TLS would be the largest part of a process that runs
// once for each pod.
func getManagement(ctx context.Context, socket, page string) (body string, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return "", fmt.Errorf("asking Kata's shim: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	defer context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails on a closed socket only
	})()

	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: shim\r\n\r\n", page); err != nil {
		return "", fmt.Errorf("asking Kata's shim for %s: %w", page, err)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, maxAnswer+1))
	if err != nil {
		return "", fmt.Errorf("asking Kata's shim for %s: %w", page, err)
	}
	head, content, complete := bytes.Cut(answer, []byte("\r\n\r\n"))
	status, _, _ := strings.Cut(string(head), "\r\n")
	if !complete || len(answer) > maxAnswer || !strings.HasPrefix(status, "HTTP/1.") {
		return "", fmt.Errorf("asking Kata's shim for %s: not an HTTP answer: %.100q", page, answer)
	}
	if fields := strings.Fields(status); len(fields) < 2 || fields[1] != "200" {
		return "", fmt.Errorf("asking Kata's shim for %s: %.100s: %.200s", page, status, content)
	}
	return strings.TrimSpace(string(content)), nil
}
