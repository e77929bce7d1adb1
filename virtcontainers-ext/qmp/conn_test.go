// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package qmp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}` + "\n"

// serve plays QEMU for one connection: it sends the script's lines, and before
// each one that starts with '<' it reads a command that must contain the rest.
// Ids in the script count from 1. Afterwards it holds the connection until the
// test ends.
func serve(t *testing.T, script ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "qmp")
	require.NoError(t, err)
	path := filepath.Join(dir, "m.sock")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	done, release := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		in := bufio.NewReader(c)
		var base uint64
		for _, line := range script {
			if want, command := strings.CutPrefix(line, "<"); command {
				got, err := in.ReadString('\n')
				if base == 0 {
					base = idOf(got) - 1
				}
				if want = renumber(want, base); err != nil || !strings.Contains(got, want) {
					t.Errorf("read %q, %v instead of %q", got, err, want)
					return
				}
				continue
			}
			if line == "hang up" {
				return
			}
			if _, err := io.WriteString(c, renumber(line, base)); err != nil {
				return // the client may have seen enough
			}
		}
		<-release
	}()
	t.Cleanup(func() {
		close(release)
		require.NoError(t, l.Close())
		<-done
		require.NoError(t, os.RemoveAll(dir))
	})
	return path
}

var ids = regexp.MustCompile(`"id": ?([0-9]+)`)

// renumber adds base to the ids in a line.
func renumber(line string, base uint64) string {
	return ids.ReplaceAllStringFunc(line, func(id string) string {
		return fmt.Sprintf(`"id":%d`, base+idOf(id))
	})
}

func idOf(line string) uint64 {
	found := ids.FindStringSubmatch(line)
	if found == nil {
		return 0
	}
	id, _ := strconv.ParseUint(found[1], 10, 64)
	return id
}

var opening = []string{
	`{"event":"RESUME","timestamp":{}}` + "\n", greeting,
	`<"execute":"qmp_capabilities"`, `{"return": {}, "id": 1}` + "\n",
}

// dial connects to a script that begins as QEMU does.
func dial(t *testing.T, script ...string) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), serve(t, append(append([]string{}, opening...), script...)...), "DEVICE_DELETED")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func TestExecute(t *testing.T) {
	c := dial(
		t,
		`<{"execute":"query-x","arguments":{"a":1},"id":2}`,
		`{"event":"NOISE"}`+"\n", `{"return": {"b": 7}, "id": 2}`+"\r\n",
	)
	var got struct{ B int }
	require.NoError(t, c.Execute(t.Context(), "query-x", map[string]int{"a": 1}, &got))
	require.Equal(t, 7, got.B)
}

func TestRefusalLeavesTheConnectionUsable(t *testing.T) {
	c := dial(
		t,
		`<blockdev-del`, `{"error": {"class": "GenericError", "desc": "in use"}, "id": 2}`+"\n",
		`<device_del`, `{"error": {"class": "DeviceNotFound", "desc": "gone"}}`+"\n",
		`<query-x`, `{"return": [], "id": 4}`+"\n",
	)
	err := c.Execute(t.Context(), "blockdev-del", nil, nil)
	require.EqualError(t, err, "blockdev-del: QEMU refused blockdev-del: in use")
	require.True(t, IsClass(err, ClassGeneric))
	require.True(t, IsClass(c.Execute(t.Context(), "device_del", nil, nil), ClassDeviceNotFound), "without an id")
	require.NoError(t, c.Execute(t.Context(), "query-x", nil, nil))
}

// QEMU answers an earlier client's command to whoever is connected by then.
func TestLateAnswersToOthersAreSkipped(t *testing.T) {
	path := serve(
		t,
		`{"return": {}, "id": 7}`+"\n", greeting, `{"error": {"class":"GenericError","desc":"late"}, "id": 8}`+"\n",
		"<qmp_capabilities", `{"return": {}, "id": 1}`+"\n",
		"<query-x", `{"return": {"late": true}, "id": 9}`+"\n", `{"return": {"late": false}, "id": 2}`+"\n",
	)
	c, err := Dial(t.Context(), path)
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	var got struct{ Late bool }
	require.NoError(t, c.Execute(t.Context(), "query-x", nil, &got))
	require.False(t, got.Late)
}

func TestIDsAreNotReused(t *testing.T) {
	require.NotEqual(t, newConn(nil, nil).lastID, newConn(nil, nil).lastID)
	require.Less(t, uniqueID(), uint64(1)<<48)
}

func TestEvents(t *testing.T) {
	c := dial(
		t,
		`<device_del`,
		`{"event":"DEVICE_DELETED","data":{"path":"/p"}}`+"\n",
		`{"event":"NOISE"}`+"\n",
		`{"return": {}, "id": 2}`+"\n",
		`{"event":"DEVICE_DELETED","data":{"device":"d"}}`+"\n",
	)
	require.NoError(t, c.Execute(t.Context(), "device_del", nil, nil))
	e, err := c.Await(t.Context(), func(e Event) bool { return strings.Contains(string(e.Data), "device") })
	require.NoError(t, err)
	require.Equal(t, `{"device":"d"}`, string(e.Data))
}

func TestEventsAreBounded(t *testing.T) {
	c := dial(
		t,
		`<query-x`,
		strings.Repeat(`{"event":"DEVICE_DELETED","data":{"n":0}}`+"\n", 3*maxEvents),
		`{"event":"DEVICE_DELETED","data":{"n":1}}`+"\n",
		`{"return": {}, "id": 2}`+"\n",
	)
	require.NoError(t, c.Execute(t.Context(), "query-x", nil, nil))
	require.Len(t, c.events, maxEvents)
	_, err := c.Await(t.Context(), func(e Event) bool { return string(e.Data) == `{"n":1}` })
	require.NoError(t, err, "the newest must survive")
}

func TestNotQMP(t *testing.T) {
	for name, answer := range map[string]string{
		"garbage":        "\x00\xff\xfe SSH-2.0\n",
		"no object":      "[]\n",
		"nothing known":  "{}\n",
		"two kinds":      `{"return":{},"event":"X","id":2}` + "\n",
		"return, error":  `{"return":{},"error":{},"id":2}` + "\n",
		"no id":          `{"return":{}}` + "\n",
		"id of a kind":   `{"return":{},"id":"2"}` + "\n",
		"second hello":   greeting,
		"oversized line": `{"return":"` + strings.Repeat("a", maxLine) + `","id":2}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, "<query-x", answer)
			require.ErrorIs(t, c.Execute(t.Context(), "query-x", nil, nil), ErrProtocol)
			require.ErrorIs(t, c.Execute(t.Context(), "query-x", nil, nil), ErrBroken, "afterwards")
		})
	}
}

func TestUnexpectedShapeOfAnAnswer(t *testing.T) {
	c := dial(t, "<query-x", `{"return":"text","id":2}`+"\n", "<query-y", `{"return":{},"id":3}`+"\n")
	var want []int
	require.ErrorIs(t, c.Execute(t.Context(), "query-x", nil, &want), ErrProtocol)
	require.NoError(t, c.Execute(t.Context(), "query-y", nil, nil), "the connection is in step")
}

func TestHangUp(t *testing.T) {
	c := dial(t, "<query-x", `{"retu`, "hang up")
	require.ErrorContains(t, c.Execute(t.Context(), "query-x", nil, nil), "QEMU closed")
	require.ErrorIs(t, c.Execute(t.Context(), "query-x", nil, nil), ErrBroken)
}

func TestNoAnswer(t *testing.T) {
	c := dial(t, "<query-x", `{"retu`)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.Execute(ctx, "query-x", nil, nil), context.DeadlineExceeded)
	require.ErrorIs(t, c.Execute(t.Context(), "query-x", nil, nil), ErrBroken, "the late answer must not be the next one's")
}

func TestAwaitInVainLeavesTheConnectionUsable(t *testing.T) {
	c := dial(t, "<a", `{"return":{},"id":2}`+"\n"+`{"event":"DEVICE_`, "<b", `DELETED"}`+"\n"+`{"return":{},"id":3}`+"\n")
	require.NoError(t, c.Execute(t.Context(), "a", nil, nil))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Await(ctx, func(Event) bool { return true })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, c.Execute(t.Context(), "b", nil, nil))
	_, err = c.Await(t.Context(), func(Event) bool { return true })
	require.NoError(t, err, "the event that came in two pieces")
}

func TestCancelled(t *testing.T) {
	c := dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := c.Await(ctx, func(Event) bool { return true })
	require.ErrorIs(t, err, context.Canceled)
}

func TestTurnsAreBounded(t *testing.T) {
	c := dial(t)
	waiting, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.Await(waiting, func(Event) bool { return true })
		done <- err
	}()
	require.Eventually(t, func() bool { return len(c.turn) == 1 }, time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.Execute(ctx, "query-x", nil, nil), context.DeadlineExceeded)
	stop()
	require.ErrorIs(t, <-done, context.Canceled)
}

func TestDial(t *testing.T) {
	for name, script := range map[string][]string{
		"silent":            {},
		"another protocol":  {"HTTP/1.1 400 Bad Request\r\n"},
		"refused":           {greeting, "<qmp_capabilities", `{"error":{"class":"CommandNotFound","desc":"no"},"id":1}` + "\n"},
		"hangs up":          {"hang up"},
		"silent afterwards": {greeting, "<qmp_capabilities"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := Dial(ctx, serve(t, script...))
			require.ErrorContains(t, err, "greeting the monitor")
		})
	}
	_, err := Dial(t.Context(), filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestExecuteWithFile(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	ours, theirs := unixConn(t, fds[0]), unixConn(t, fds[1])
	c := newConn(ours, nil)

	sent, err := os.Create(filepath.Join(t.TempDir(), "f"))
	require.NoError(t, err)
	defer func() { require.NoError(t, sent.Close()) }()
	got := make(chan *os.File, 1)
	go func() {
		b, oob := make([]byte, 1000), make([]byte, 100)
		_, n, _, _, err := theirs.ReadMsgUnix(b, oob)
		defer func() { _, _ = fmt.Fprintf(theirs, `{"return":{"fdset-id":3},"id":%d}`+"\n", idOf(string(b))) }()
		if err != nil {
			got <- nil
			return
		}
		m, _ := unix.ParseSocketControlMessage(oob[:n])
		fd, _ := unix.ParseUnixRights(&m[0])
		got <- os.NewFile(uintptr(fd[0]), "received")
	}()
	require.NoError(t, c.ExecuteWithFile(t.Context(), "add-fd", nil, sent, nil))
	received := <-got
	require.NotNil(t, received)
	_, err = received.WriteString("same file")
	require.NoError(t, err)
	require.NoError(t, received.Close())
	content, err := os.ReadFile(sent.Name())
	require.NoError(t, err)
	require.Equal(t, "same file", string(content))

	require.NoError(t, sent.Sync(), "still ours")
	closed, err := os.Create(filepath.Join(t.TempDir(), "g"))
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	require.ErrorContains(t, c.ExecuteWithFile(t.Context(), "add-fd", nil, closed, nil), "closed file")
}

// unixConn makes a connection of a socket pair's end.
func unixConn(t *testing.T, fd int) *net.UnixConn {
	t.Helper()
	f := os.NewFile(uintptr(fd), "socketpair")
	c, err := net.FileConn(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c.(*net.UnixConn)
}
