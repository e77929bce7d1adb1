// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package dial

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/mdlayher/vsock"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for url, want := range map[string]target{
		"vsock://3:1024":            vsockTarget{cid: 3, port: 1040},
		"vsock://4294967294:1024":   vsockTarget{cid: 4294967294, port: 1040},
		"vsock://42":                vsockTarget{cid: 42, port: 1040},
		"hvsock:///run/a.sock:1024": hybridTarget{socket: "/run/a.sock", port: 1040},
		"hvsock:///run/a:b:1024":    hybridTarget{socket: "/run/a:b", port: 1040},
		"unix:///run/a.sock":        unixTarget("/run/a.sock"),
	} {
		got, err := parse(url, 1040)
		require.NoError(t, err, url)
		require.Equal(t, want, got, url)
	}
	for _, url := range []string{
		"", "vsock", "vsock://", "vsock://:1024", "vsock://x:1024", "vsock://-3:1024",
		"vsock://4294967296:1024", "vsock://4294967295:1024", "vsock://2:1024", "vsock://0:1024",
		"hvsock://", "hvsock://:1024", "unix://", "tcp://1.2.3.4:5", "/run/a.sock",
	} {
		_, err := parse(url, 1040)
		require.ErrorIs(t, err, ErrAddress, url)
	}
}

// listen gives each connection to serve, and ends all when the test does.
func listen(t *testing.T, path string, serve func(net.Conn)) {
	t.Helper()
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
}

func echo(c net.Conn) {
	_, _ = io.Copy(c, c)
	_ = c.Close()
}

func requireEcho(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err := c.Write([]byte("hello"))
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	require.NoError(t, c.Close())
}

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listen(t, path, echo)
	c, err := Dial(t.Context(), "unix://"+path, 1040)
	require.NoError(t, err)
	requireEcho(t, c)
}

// abandoned leaves a socket file without a listener.
func abandoned(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
}

func TestRefusedIsToldSoon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	abandoned(t, path)
	began := time.Now()
	_, err := Dial(t.Context(), "unix://"+path, 1040, WithRefusedWindow(200*time.Millisecond))
	require.ErrorIs(t, err, ErrRefused)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.Contains(t, err.Error(), path)
	require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)
	require.Less(t, time.Since(began), 10*time.Second)
}

func TestRefusedOnceWithoutWindow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	abandoned(t, path)
	_, err := Dial(t.Context(), "unix://"+path, 1040, WithRefusedWindow(0))
	require.ErrorIs(t, err, ErrRefused)
}

func TestListenerThatComesLate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	abandoned(t, path)
	got := make(chan error, 1)
	go func() {
		c, err := Dial(t.Context(), "unix://"+path, 1040, WithRefusedWindow(time.Minute))
		if err == nil {
			err = c.Close()
		}
		got <- err
	}()
	// The listener appears at the path in one step, as a restart would do it.
	fresh := path + ".new"
	listen(t, fresh, echo)
	require.NoError(t, os.Rename(fresh, path))
	require.NoError(t, <-got)
}

func TestRefusedUntilTheContextEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	abandoned(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := Dial(ctx, "unix://"+path, 1040, WithRefusedWindow(time.Minute))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, ErrRefused)
	require.NotErrorIs(t, err, ErrNoAnswer)
}

// hypervisor answers CONNECT with what answer says, then echoes.
func hypervisor(answer func(port string) string) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { _ = c.Close() }()
		in := bufio.NewReader(c)
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		var port string
		if _, err := fmt.Sscanf(line, "CONNECT %s", &port); err != nil {
			return
		}
		if _, err := io.WriteString(c, answer(port)); err != nil || answer(port) == "" {
			return
		}
		_, _ = io.Copy(c, in)
	}
}

func TestHybrid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listen(t, path, hypervisor(func(port string) string { return "OK " + port + "\n" }))
	c, err := Dial(t.Context(), "hvsock://"+path+":1024", 1040)
	require.NoError(t, err)
	requireEcho(t, c)
}

func TestHybridLeavesWhatFollowsTheGreeting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listen(t, path, hypervisor(func(string) string { return "OK 1040\nfirst" }))
	c, err := Dial(t.Context(), "hvsock://"+path+":1024", 1040)
	require.NoError(t, err)
	first := make([]byte, 5)
	_, err = io.ReadFull(c, first)
	require.NoError(t, err)
	require.Equal(t, "first", string(first))
	requireEcho(t, c)
}

func TestHybridHangsUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listen(t, path, hypervisor(func(string) string { return "" }))
	_, err := Dial(t.Context(), "hvsock://"+path+":1024", 1040, WithRefusedWindow(100*time.Millisecond))
	require.ErrorIs(t, err, ErrRefused)
}

func TestHybridBadGreetings(t *testing.T) {
	for name, greeting := range map[string]string{
		"another word": "NO 1040\n",
		"prefix only":  "OKAY\n",
		"empty line":   "\n",
		"endless":      "OK 11111111111111111111111111111111111111111111111111",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			listen(t, path, hypervisor(func(string) string { return greeting }))
			_, err := Dial(t.Context(), "hvsock://"+path+":1024", 1040)
			require.Error(t, err)
			require.NotErrorIs(t, err, ErrRefused)
		})
	}
}

func TestHybridSilence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ended := make(chan struct{})
	listen(t, path, func(c net.Conn) {
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
		close(ended)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := Dial(ctx, "hvsock://"+path+":1024", 1040)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, ErrNoAnswer)
	<-ended // the connection is not left behind
}

func TestCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	accepted := make(chan struct{})
	listen(t, path, func(c net.Conn) {
		close(accepted)
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-accepted
		cancel()
	}()
	_, err := Dial(ctx, "hvsock://"+path+":1024", 1040)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrNoAnswer)
}

// The loopback transport stands for a guest.
func TestVsock(t *testing.T) {
	if _, err := os.Stat("/sys/module/vsock_loopback"); err != nil {
		t.Skip("needs the kernel module vsock_loopback")
	}
	l, err := vsock.ListenContextID(vsock.Local, 0, nil)
	require.NoError(t, err)
	port := l.Addr().(*vsock.Addr).Port
	go func() {
		if c, err := l.Accept(); err == nil {
			echo(c)
		}
	}()
	target := vsockTarget{cid: vsock.Local, port: port}
	c, err := target.connect(t.Context())
	require.NoError(t, err)
	requireEcho(t, c)

	require.NoError(t, l.Close())
	_, err = target.connect(t.Context())
	require.ErrorIs(t, err, ErrRefused)
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"vsock://3:1024", "hvsock:///a:1024", "unix:///a", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, url string) {
		target, err := parse(url, 1040)
		if err != nil {
			require.ErrorIs(t, err, ErrAddress)
			return
		}
		require.NotEmpty(t, target.String())
	})
}
