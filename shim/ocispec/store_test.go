// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package ocispec

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const storePath = "/dev/trusted_store"

// sample is a config.json as containerd 2 wrote it for the sidecar of a pod
// with an LVM volume.
const sample = "testdata/sidecar-config.json"

func read(t *testing.T, text string) *Spec {
	t.Helper()
	s, err := parse("config.json", []byte(text))
	require.NoError(t, err)
	return s
}

func devices(list string) string { return `{"linux":{"devices":[` + list + `]}}` }

func TestStoreOfASidecar(t *testing.T) {
	raw, err := os.ReadFile(sample)
	require.NoError(t, err)
	s, err := parse(sample, raw)
	require.NoError(t, err)
	require.False(t, s.IsSandbox())
	store, err := s.Store(storePath)
	require.NoError(t, err)
	require.Equal(t, &Store{Path: storePath, Number: Number{Major: 253}, entry: 0, rules: []int{1}}, store)
}

func TestStore(t *testing.T) {
	const other = `{"path":"/dev/data","type":"b","major":8,"minor":16}`
	tests := map[string]struct {
		json string
		want *Number
		err  error
	}{
		"no linux section":   {json: `{}`},
		"linux null":         {json: `{"linux":null}`},
		"no devices":         {json: devices(``)},
		"another device":     {json: devices(other)},
		"a shorter name":     {json: devices(`{"path":"/dev/trusted_stor","type":"b","major":8,"minor":0}`)},
		"the same base name": {json: devices(`{"path":"/mnt/trusted_store","type":"b","major":8,"minor":0}`)},

		"the store":                 {json: devices(`{"path":"/dev/trusted_store","type":"b","major":8,"minor":1}`), want: &Number{8, 1}},
		"beside another":            {json: devices(other + `,{"path":"/dev/trusted_store","type":"b","major":8,"minor":1}`), want: &Number{8, 1}},
		"written otherwise":         {json: devices(`{"path":"/dev/./x/..//trusted_store/","type":"b","major":8,"minor":1}`), want: &Number{8, 1}},
		"escaped":                   {json: devices(`{"path":"\/dev\/trusted\u005fstore","type":"b","major":8,"minor":1}`), want: &Number{8, 1}},
		"number zero":               {json: devices(`{"path":"/dev/trusted_store","type":"b","major":0,"minor":0}`), want: &Number{0, 0}},
		"largest number":            {json: devices(`{"path":"/dev/trusted_store","type":"b","major":4095,"minor":1048575}`), want: &Number{4095, 1048575}},
		"a character device beside": {json: devices(`{"path":"/dev/c","type":"c","major":8,"minor":1},{"path":"/dev/trusted_store","type":"b","major":8,"minor":1}`), want: &Number{8, 1}},

		"a character device":     {json: devices(`{"path":"/dev/trusted_store","type":"c","major":1,"minor":3}`), err: ErrNotBlock},
		"an unbuffered one":      {json: devices(`{"path":"/dev/trusted_store","type":"u","major":1,"minor":3}`), err: ErrNotBlock},
		"a fifo":                 {json: devices(`{"path":"/dev/trusted_store","type":"p"}`), err: ErrNotBlock},
		"a regular file":         {json: devices(`{"path":"/dev/trusted_store","type":"f"}`), err: ErrNotBlock},
		"no type":                {json: devices(`{"path":"/dev/trusted_store","major":1,"minor":3}`), err: ErrNotBlock},
		"no major":               {json: devices(`{"path":"/dev/trusted_store","type":"b","minor":3}`), err: ErrNotBlock},
		"no minor":               {json: devices(`{"path":"/dev/trusted_store","type":"b","major":3}`), err: ErrNotBlock},
		"negative":               {json: devices(`{"path":"/dev/trusted_store","type":"b","major":-1,"minor":3}`), err: ErrNotBlock},
		"major too large":        {json: devices(`{"path":"/dev/trusted_store","type":"b","major":4096,"minor":3}`), err: ErrNotBlock},
		"minor too large":        {json: devices(`{"path":"/dev/trusted_store","type":"b","major":1,"minor":1048576}`), err: ErrNotBlock},
		"a longer name":          {json: devices(`{"path":"/dev/trusted_store2","type":"b","major":8,"minor":0}`), err: ErrLookalike},
		"a suffix":               {json: devices(`{"path":"/dev//trusted_store_x/","type":"b","major":8,"minor":0}`), err: ErrLookalike},
		"a folder of the name":   {json: devices(`{"path":"dev/trusted_store/x","type":"b","major":8,"minor":0}`), err: ErrLookalike},
		"of another type":        {json: devices(`{"path":"/dev/trusted_store2","type":"c","major":1,"minor":3}`), err: ErrLookalike},
		"beside the store":       {json: devices(`{"path":"/dev/trusted_store","type":"b","major":8,"minor":1},{"path":"/dev/trusted_store2","type":"b","major":8,"minor":2}`), err: ErrLookalike},
		"twice the same":         {json: devices(`{"path":"/dev/trusted_store","type":"b","major":8,"minor":1},{"path":"/dev/trusted_store","type":"b","major":8,"minor":1}`), err: ErrTwice},
		"twice, different":       {json: devices(`{"path":"/dev/trusted_store","type":"b","major":8,"minor":1},{"path":"/dev//trusted_store","type":"c","major":1,"minor":3}`), err: ErrTwice},
		"the disk under another": {json: devices(`{"path":"/dev/sda1","type":"b","major":8,"minor":1},{"path":"/dev/trusted_store","type":"b","major":8,"minor":1}`), err: ErrAliased},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			store, err := read(t, test.json).Store(storePath)
			require.ErrorIs(t, err, test.err)
			if test.want == nil {
				require.Nil(t, store)
				return
			}
			require.Equal(t, *test.want, store.Number)
		})
	}
}

func TestStoreAtAConfiguredPath(t *testing.T) {
	s := read(t, devices(`{"path":"/dev/trusted_store","type":"b","major":8,"minor":1},{"path":"/dev/tes","type":"b","major":8,"minor":2}`))
	store, err := s.Store("/dev//tes/")
	require.NoError(t, err)
	require.Equal(t, Number{8, 2}, store.Number)
	require.True(t, s.HasDevice("dev/trusted_store/"))

	_, err = s.Store("/dev/trusted")
	require.ErrorIs(t, err, ErrLookalike, "the rule is about the configured path, whichever it is")
	store, err = s.Store("/dev/trusted_store_here")
	require.NoError(t, err)
	require.Nil(t, store)
	require.False(t, read(t, devices(`{"path":"/dev/trusted_store2","type":"b","major":8,"minor":1}`)).HasDevice("/dev/trusted_store"))
}

// The sentence names the right path.
func TestLookalikeSays(t *testing.T) {
	_, err := read(t, devices(`{"path":"/dev/trusted_store2","type":"b","major":8,"minor":0}`)).Store("/dev//trusted_store/")
	require.ErrorContains(t, err, `"/dev/trusted_store2"`)
	require.ErrorContains(t, err, "write /dev/trusted_store for")
	require.ErrorContains(t, err, "reserved")
}

func TestNameAndDevices(t *testing.T) {
	s := read(t, devices(`{"path":"/dev/a","type":"b","major":8,"minor":1},{"path":"/dev/c","type":"c","major":8,"minor":2},{"path":"/dev/no","type":"b"},{"path":"/dev/b","type":"b","major":9,"minor":0}`))
	require.Empty(t, s.Name())
	require.Equal(t, []Number{{8, 1}, {9, 0}}, s.BlockDevices())
	require.Equal(t, "app", read(t, `{"annotations":{"io.kubernetes.cri.container-name":"app"}}`).Name())
	require.Equal(t, "app", read(t, `{"annotations":{"io.kubernetes.container.name":"app"}}`).Name())
}

func TestOwnRulesOnly(t *testing.T) {
	s := read(t, `{"linux":{"devices":[{"path":"/dev/trusted_store","type":"b","major":8,"minor":1}],"resources":{"devices":[
		{"allow":false,"access":"rwm"},
		{"allow":true,"type":"b","major":8,"minor":1,"access":"rwm"},
		{"allow":true,"type":"c","major":8,"minor":1,"access":"rwm"},
		{"allow":false,"type":"b","major":8,"minor":1,"access":"m"},
		{"allow":true,"type":"b","major":8,"access":"rwm"},
		{"allow":true,"type":"b","minor":1,"access":"rwm"},
		{"allow":true,"type":"a","major":8,"minor":1},
		{"allow":true,"type":"b","major":8,"minor":1,"access":"r"}]}}}`)
	store, err := s.Store(storePath)
	require.NoError(t, err)
	require.Equal(t, []int{1, 7}, store.rules)
}

// The kubelet gives a container with a readOnly claim a rule without "w".
func TestReadOnlyClaim(t *testing.T) {
	const own = `{"allow":true,"type":"b","major":8,"minor":1,"access":%q}`
	for name, test := range map[string]struct {
		rules string
		err   error
	}{
		"writable":                      {fmt.Sprintf(own, "mrw"), nil},
		"read-only":                     {fmt.Sprintf(own, "r"), ErrReadOnly},
		"mknod and read":                {fmt.Sprintf(own, "rm"), ErrReadOnly},
		"twice, once writable":          {fmt.Sprintf(own, "r") + "," + fmt.Sprintf(own, "w"), nil},
		"all devices allowed besides":   {`{"allow":true,"access":"rwm"},` + fmt.Sprintf(own, "r"), ErrReadOnly},
		"no access named":               {fmt.Sprintf(own, ""), nil},
		"no rule":                       {``, nil},
		"another device is read-only":   {`{"allow":true,"type":"b","major":8,"minor":2,"access":"r"}`, nil},
		"a rule that denies, read-only": {`{"allow":false,"type":"b","major":8,"minor":1,"access":"r"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := read(t, `{"linux":{"devices":[{"path":"/dev/trusted_store","type":"b","major":8,"minor":1}],"resources":{"devices":[`+test.rules+`]}}}`).Store(storePath)
			require.ErrorIs(t, err, test.err)
			require.Equal(t, test.err == nil, store != nil)
		})
	}
}

func TestIsSandbox(t *testing.T) {
	for text, want := range map[string]bool{
		`{}`: false,
		`{"annotations":{"io.kubernetes.cri.container-type":"sandbox"}}`:      true,
		`{"annotations":{"io.kubernetes.cri.container-type":"container"}}`:    false,
		`{"annotations":{"io.kubernetes.cri-o.ContainerType":"sandbox"}}`:     true,
		`{"annotations":{"io.kubernetes.cri-o.ContainerType":"container"}}`:   false,
		`{"annotations":{"io.kubernetes.cri.sandbox-id":"sandbox"}}`:          false,
		`{"annotations":{"io.kubernetes.cri.container-type":"sandbox-like"}}`: false,
	} {
		require.Equal(t, want, read(t, text).IsSandbox(), text)
	}
}

func TestRead(t *testing.T) {
	bundle := t.TempDir()
	_, err := Read(bundle)
	require.ErrorIs(t, err, fs.ErrNotExist)

	path := filepath.Join(bundle, configFile)
	for _, text := range []string{``, `{`, `[]`, `{} {}`, `{"linux":[]}`, `{"linux":{"devices":{}}}`, `{"annotations":{"a":1}}`, `{"linux":{"devices":[{"major":1.5}]}}`} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := Read(bundle)
		require.ErrorIs(t, err, ErrMalformed, text)
		require.ErrorContains(t, err, path)
	}
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	_, err = Read(bundle)
	require.Error(t, err)
	require.NotErrorIs(t, err, fs.ErrNotExist)
}

// The pod's name is containerd's annotation, or what CRI-O makes of the kubelet's
// label, and half a name is as good as the annotations have it.
func TestPod(t *testing.T) {
	for text, want := range map[string]Pod{
		`{}`: {},
		`{"annotations":{"io.kubernetes.cri.sandbox-namespace":"a","io.kubernetes.cri.sandbox-name":"b"}}`: {"a", "b"},
		`{"annotations":{"io.kubernetes.pod.namespace":"a","io.kubernetes.pod.name":"b"}}`:                 {"a", "b"},
		`{"annotations":{"io.kubernetes.cri.sandbox-name":"b"}}`:                                           {"", "b"},
		`{"annotations":{"io.kubernetes.cri.sandbox-namespace":"a"}}`:                                      {},
	} {
		s, err := parse("config.json", []byte(text))
		require.NoError(t, err)
		require.Equal(t, want, s.Pod(), text)
	}
	text, err := os.ReadFile("testdata/sidecar-config.json")
	require.NoError(t, err)
	recorded, err := parse("config.json", text)
	require.NoError(t, err)
	require.NotEmpty(t, recorded.Pod().Name)
	require.Equal(t, "default", recorded.Pod().Namespace)
}
