// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeEvents are what the test sends.
type fakeEvents struct {
	c      chan struct{}
	closed bool
}

func (e *fakeEvents) C() <-chan struct{} { return e.c }

func (e *fakeEvents) Close() error {
	e.closed = true
	return nil
}

func (e *fakeEvents) listen() (Events, error) { return e, nil }

func newEvents() *fakeEvents { return &fakeEvents{c: make(chan struct{}, 1)} }

func TestFindWhatIsThere(t *testing.T) {
	for name, add := range map[string]func(tree){
		"scsi":        func(tr tree) { tr.scsi("disk", "8:0", someMarker) },
		"scsi padded": func(tr tree) { tr.scsi("disk", "8:0", someMarker+"        ") },
		"virtio":      func(tr tree) { tr.virtio("disk", "254:0", someMarker) },
		"newline":     func(tr tree) { tr.virtio("disk", "254:0", someMarker+"\n") },
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			tr.scsi("sdb", "8:16", otherMarker)
			tr.virtio("vda", "254:0", "")
			tr.disk("loop0", "7:0")
			add(tr)
			events := newEvents()
			found, err := tr.Find(t.Context(), someMarker, events.listen)
			require.NoError(t, err)
			require.Equal(t, "disk", found)
			require.True(t, events.closed)
		})
	}
}

func TestFindTwo(t *testing.T) {
	tr := newTree(t)
	tr.scsi("sda", "8:0", someMarker)
	tr.virtio("vda", "254:0", someMarker)
	_, err := tr.Find(t.Context(), someMarker, newEvents().listen)
	require.ErrorIs(t, err, ErrUnfit)
	require.ErrorContains(t, err, "sda")
	require.ErrorContains(t, err, "vda")
}

// The disk comes while the socket is being opened: the look that follows sees
// it, though no event tells.
func TestFindHasNoGap(t *testing.T) {
	tr := newTree(t)
	found, err := tr.Find(t.Context(), someMarker, func() (Events, error) {
		tr.scsi("sda", "8:0", someMarker)
		return newEvents(), nil
	})
	require.NoError(t, err)
	require.Equal(t, "sda", found)
}

func TestFindByEvent(t *testing.T) {
	tr := newTree(t)
	events := newEvents()
	type answer struct {
		name string
		err  error
	}
	c := make(chan answer, 1)
	began := time.Now()
	go func() {
		name, err := tr.Find(t.Context(), someMarker, events.listen)
		c <- answer{name, err}
	}()
	events.c <- struct{}{} // another device
	tr.scsi("sda", "8:0", someMarker)
	select {
	case events.c <- struct{}{}:
	default: // the event before is still unread
	}
	a := <-c
	require.NoError(t, a.err)
	require.Equal(t, "sda", a.name)
	require.Less(t, time.Since(began), 30*time.Second)
}

// A disk that the kernel shows before it has added it is not looked at yet.
func TestFindADiskThatIsBeingAdded(t *testing.T) {
	tr := newTree(t)
	tr.scsi("sda", "8:0", someMarker)
	holders := filepath.Join(tr.Sysfs, "block", "sda", "holders")
	require.NoError(t, os.Remove(holders))
	events := newEvents()
	looked := make(chan error, 1)
	go func() {
		_, err := tr.Find(t.Context(), someMarker, events.listen)
		looked <- err
	}()
	// Taken only after the first look.
	events.c <- struct{}{}
	events.c <- struct{}{}
	select {
	case err := <-looked:
		t.Fatalf("it was taken: %v", err)
	default:
	}
	require.NoError(t, os.Mkdir(holders, 0o700))
	// The ticker may have brought the last look already.
	select {
	case events.c <- struct{}{}:
		err := <-looked
		require.NoError(t, err)
	case err := <-looked:
		require.NoError(t, err)
	}
}

func TestFindNothing(t *testing.T) {
	tr := newTree(t)
	tr.scsi("sda", "8:0", otherMarker)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	events := newEvents()
	_, err := tr.Find(ctx, someMarker, events.listen)
	require.ErrorIs(t, err, ErrNotFound)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, someMarker)
	require.True(t, events.closed)
}

func TestFindWithoutEvents(t *testing.T) {
	broken := errors.New("no netlink")
	_, err := newTree(t).Find(t.Context(), someMarker, func() (Events, error) { return nil, broken })
	require.ErrorIs(t, err, broken)
}

// Where the disk does not come by itself, its address is asked for, and no
// other.
func TestFindAsksForAScan(t *testing.T) {
	tr := newTree(t)
	hosts := filepath.Join(tr.Sysfs, "class", "scsi_host")
	tr.write("", hosts, "host0", "scan")
	tr.write("", hosts, "host1", "scan")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := tr.Find(ctx, someMarker, newEvents().listen)
		ended <- err
	}()
	for _, host := range []string{"host0", "host1"} {
		require.Eventually(t, func() bool {
			text, err := os.ReadFile(filepath.Join(hosts, host, "scan"))
			return err == nil && string(text) == "0 255 255"
		}, 30*time.Second, 10*time.Millisecond)
	}
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestScanFailureIsTold(t *testing.T) {
	tr := newTree(t)
	tr.mkdir(tr.Sysfs, "class", "scsi_host", "host0", "scan") // a directory can't be written
	require.ErrorContains(t, tr.requestScan(), "asking for a scan")
	require.NoError(t, newTree(t).requestScan())
}

func TestScsiSerial(t *testing.T) {
	for text, want := range map[string]string{
		page(someMarker):           someMarker,
		page("  x\x00\x00"):        "x",
		page("abc") + "rubbish":    "abc",
		"":                         "",
		"\x00\x80":                 "",
		"\x00\x83\x00\x03abc":      "", // another page
		"\x00\x80\x00\xffshort":    "short",
		"\x00\x80\x00\x00nothing":  "",
		"\x00\x80\xff\xffso large": "so large",
	} {
		require.Equal(t, want, scsiSerial([]byte(text)), "%q", text)
	}
}

func FuzzScsiSerial(f *testing.F) {
	f.Add([]byte(page(someMarker)))
	f.Add([]byte("\x00\x80\xff\xff"))
	f.Fuzz(func(t *testing.T, page []byte) {
		require.LessOrEqual(t, len(scsiSerial(page)), max(0, len(page)-vpdHeader))
	})
}

func TestIsBlockEvent(t *testing.T) {
	require.True(t, isBlockEvent([]byte("add@/devices/x/block/sda\x00ACTION=add\x00SUBSYSTEM=block\x00SEQNUM=1\x00")))
	require.False(t, isBlockEvent([]byte("add@/devices/x\x00ACTION=add\x00SUBSYSTEM=net\x00")))
	require.False(t, isBlockEvent([]byte("SUBSYSTEM=blockade\x00")))
	require.False(t, isBlockEvent(nil))
}

func TestUeventsClose(t *testing.T) {
	events, err := ListenUevents()
	if err != nil {
		t.Skip("needs uevents: " + err.Error())
	}
	closed := make(chan error, 1)
	go func() { closed <- events.Close() }()
	select {
	case err := <-closed:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		t.Fatal("closing does not end the listening")
	}
}
