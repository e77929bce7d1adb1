// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package bootstrap

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	sigterm = unix.SIGTERM
	sighup  = unix.SIGHUP
)

func TestConfigPath(t *testing.T) {
	foreign, err := proto.Marshal(&anypb.Any{TypeUrl: "containerd.runc.v1.Options", Value: []byte("\x12\x04/bad")})
	require.NoError(t, err)
	scheme, err := proto.Marshal(&anypb.Any{TypeUrl: "type.googleapis.com/runtimeoptions.v1.Options", Value: []byte("\x12\x03/ok")})
	require.NoError(t, err)
	noOptions, err := proto.Marshal(&bootapi.BootstrapParams{InstanceID: "runtimeoptions.v1.Options", Namespace: "\x12\x01x", ContainerdVersion: "v"})
	require.NoError(t, err)
	for name, test := range map[string]struct {
		input []byte
		want  string
	}{
		"nothing":                   {nil, ""},
		"1.x":                       {kataInput(t, "/etc/kata/c.toml"), "/etc/kata/c.toml"},
		"1.x without a path":        {kataInput(t, ""), ""},
		"2.3":                       {bootstrapInput(t, "/etc/kata/c.toml"), "/etc/kata/c.toml"},
		"2.3 without a path":        {bootstrapInput(t, ""), ""},
		"2.3 without options":       {noOptions, ""},
		"options of runc":           {foreign, ""},
		"type URL with a host name": {scheme, "/ok"},
	} {
		got, err := configPath(test.input)
		require.NoError(t, err, name)
		require.Equal(t, test.want, got, name)
	}
	_, err = configPath([]byte{0xff})
	require.ErrorIs(t, err, errOptions)
}

func TestBadAnswers(t *testing.T) {
	for out, want := range map[string]error{
		"":              errNoAnswer,
		" \n":           errNoAnswer,
		"{":             errBadAnswer,
		"{}":            errNoAnswer,
		`{"address":5}`: errBadAnswer,
		"panic: oh no":  errBadAnswer,
		`{"address":"unix:///a","protocol":"grpc"}`:                                                     errProtocol,
		`{"address":"vsock://3:1024","protocol":"ttrpc"}`:                                               errProtocol,
		string(result(t, &bootapi.BootstrapResult{Version: 3})):                                         errNoAnswer,
		string(result(t, &bootapi.BootstrapResult{Version: 3, Address: "unix:///a", Protocol: "grpc"})): errProtocol,
	} {
		_, err := parseAnswer([]byte(out))
		require.ErrorIs(t, err, want, "%q", out)
	}
}

func result(t *testing.T, r *bootapi.BootstrapResult) []byte {
	t.Helper()
	b, err := proto.Marshal(r)
	require.NoError(t, err)
	return b
}

func TestOuterAddress(t *testing.T) {
	inner := "unix:///run/containerd/s/" + strings.Repeat("a", 64)
	outer := outerAddress(inner)
	require.Len(t, outer, len(inner), "no longer than what fits already")
	require.Equal(t, "/run/containerd/s", filepath.Dir(strings.TrimPrefix(outer, "unix://")))
	require.NotEqual(t, inner, outer)
	require.Equal(t, outer, outerAddress(inner))
	require.NotEqual(t, outer, outerAddress(inner+"b"))
	require.True(t, strings.HasPrefix(outerAddress("/abstract"), "unix:///run/containerd/s/"))
}

func TestAnotherSocketAtTheSamePathStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	require.NoError(t, unix.Mknod(path, unix.S_IFSOCK|0o600, 0))
	old, err := socketFileOf("unix://" + path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	require.NoError(t, old.remove(), "gone already")
	require.NoError(t, unix.Mknod(path, unix.S_IFSOCK|0o600, 0))
	require.NoError(t, old.remove())
	require.FileExists(t, path)
	now, err := socketFileOf("unix://" + path)
	require.NoError(t, err)
	require.NoError(t, now.remove())
	require.NoFileExists(t, path)
}

func TestTheLogNeverBlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	out, err := openFIFO(path)
	require.NoError(t, err)
	line := []byte(strings.Repeat("x", 1000) + "\n")
	for range 200 {
		n, err := out.Write(line)
		require.NoError(t, err)
		require.Equal(t, len(line), n)
	}
	require.NoError(t, unix.Close(int(out.(fifo))))

	none, err := openFIFO(filepath.Join(t.TempDir(), "none"))
	require.NoError(t, err)
	require.Equal(t, io.Discard, none)
}

// readFIFO makes a FIFO and reads it as containerd does.
func readFIFO(t *testing.T, path string) func() string {
	t.Helper()
	require.NoError(t, unix.Mkfifo(path, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	var text strings.Builder
	return func() string {
		b := make([]byte, 4096)
		n, err := unix.Read(int(f.Fd()), b)
		if err == nil {
			text.Write(b[:n])
		}
		return text.String()
	}
}

func FuzzConfigPath(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x0a\x19runtimeoptions.v1.Options\x12\x04\x12\x02/c"))
	f.Add([]byte{0x42, 0x03, 0x0a, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, input []byte) {
		path, err := configPath(input)
		if err != nil && path != "" {
			t.Fatalf("%q and %v", path, err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("unix:///run/containerd/s/abc\n"))
	f.Add([]byte(`{"version":3,"address":"unix:///a","protocol":"ttrpc"}`))
	f.Add([]byte("\x08\x03\x12\x09unix:///a\x1a\x05ttrpc"))
	f.Fuzz(func(t *testing.T, out []byte) {
		a, err := parseAnswer(out)
		if err != nil || !utf8.ValidString(a.address) {
			return
		}
		const ours = "unix:///ours"
		again, err := a.with(ours)
		if err != nil {
			t.Fatal(err)
		}
		b, err := parseAnswer(again)
		if err != nil || b.address != ours {
			t.Fatalf("%q became %q: %q, %v", out, again, b.address, err)
		}
	})
}
