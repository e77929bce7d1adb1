// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/qmp"
	"github.com/kata-tes/kata-tes/virtcontainers-ext/rundir"
)

const (
	mib = 1 << 20
	// size of a disk: what it has to be, and little more.
	size = 80 * mib
	// dataAt is where the encrypted data begins (agent-ext/luks).
	dataAt = 16 * mib
)

// disk is one of the host's, a sparse file. (Not in the test's temporary folder:
// that is memory, without O_DIRECT.)
type disk struct {
	a      *attempt
	path   string
	serial agentproto.Marker
	// id is what QEMU calls it; empty while it is not attached.
	id string
}

// disk makes one that is not attached. It is taken out when the test ends.
func (a *attempt) disk(size int64) *disk {
	a.Helper()
	f, err := os.CreateTemp("/var/lib", "tes-attack-*.img")
	require.NoError(a, err)
	d := &disk{a: a, path: f.Name()}
	require.NoError(a, errors.Join(f.Truncate(size), f.Close()))
	a.Cleanup(func() {
		d.unplug()
		require.NoError(a, os.Remove(d.path))
	})
	return d
}

// plug attaches the disk as our shim does.
func (d *disk) plug(marker agentproto.Marker) {
	d.a.Helper()
	f, err := os.OpenFile(d.path, os.O_RDWR|unix.O_DIRECT, 0)
	require.NoError(d.a, err)
	defer func() { require.NoError(d.a, f.Close()) }()
	d.serial, d.id = marker, string(marker)
	require.NoError(d.a, d.a.sandbox.Attach(d.a.Context(), f, d.id))
}

// options are what a lying host sets beyond what the shim does.
type options struct {
	readOnly bool
	// elsewhere: at one of Kata's addresses, which Kata's agent asks a scan of.
	elsewhere bool
	// failWrites answers each write with an error.
	failWrites bool
}

// plugWith attaches the disk as only a liar does.
func (d *disk) plugWith(marker agentproto.Marker, o options) {
	a := d.a
	a.Helper()
	file := map[string]any{"driver": "file", "filename": d.path, "aio": "threads", "cache": map[string]bool{"direct": true}, "read-only": o.readOnly}
	if o.failWrites {
		file = map[string]any{"driver": "blkdebug", "image": file, "inject-error": []map[string]any{
			{"event": "none", "iotype": "write", "errno": int(unix.EIO), "once": false},
		}}
	}
	d.serial, d.id = marker, string(agentproto.NewMarker())
	a.qmp("blockdev-add", map[string]any{"driver": "raw", "node-name": d.id, "read-only": o.readOnly, "file": file}, nil)
	at := map[string]any{"driver": "scsi-hd", "bus": "scsi0.0", "scsi-id": 255, "lun": 255, "id": d.id, "drive": d.id, "serial": string(marker)}
	if o.elsewhere {
		at["scsi-id"], at["lun"] = 1, a.lun
	}
	a.qmp("device_add", at, nil)
	if o.elsewhere {
		a.scan(fmt.Sprintf("0 1 %d", a.lun))
		a.lun++
	}
}

// unplug takes the disk out, whatever the guest does with it.
func (d *disk) unplug() {
	if d.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(d.a, d.a.sandbox.Detach(ctx, d.id))
	d.id = ""
}

// resize tells the guest another size, in bytes.
func (d *disk) resize(size int64) {
	d.a.Helper()
	d.a.qmp("block_resize", map[string]any{"node-name": d.id, "size": size}, nil)
	name := filepath.Base(d.device())
	require.Eventually(d.a, func() bool {
		return strings.TrimSpace(d.a.sh("cat /sys/block/"+name+"/size")) == fmt.Sprint(size/512)
	}, patience, poll)
}

// scan asks the guest's kernel to look at an address.
func (a *attempt) scan(address string) {
	a.sh(`for h in /sys/class/scsi_host/host*/scan; do echo "` + address + `" >$h || exit; done`)
}

// device is the disk's in the guest; waits until the kernel has it.
func (d *disk) device() string {
	d.a.Helper()
	d.a.scan("0 255 255")
	return strings.TrimSpace(d.a.sh(`i=0; while [ $i -lt 600 ]; do
		for d in /sys/block/sd*; do
			grep -q ` + string(d.serial) + ` $d/device/vpd_pg80 2>/dev/null && [ -d $d/holders ] && [ -b /dev/${d##*/} ] && echo /dev/${d##*/} && exit
		done
		i=$((i+1)); sleep 0.05
	done; exit 1`))
}

// qmp sends a command to QEMU by our monitor.
func (a *attempt) qmp(command string, arguments, result any) {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), patience)
	defer cancel()
	conn, err := qmp.Dial(ctx, rundir.MonitorPath(rundir.Root, a.pod.ID))
	require.NoError(a, err)
	require.NoError(a, errors.Join(conn.Execute(ctx, command, arguments, result), conn.Close()))
}

// write writes past QEMU, as a host can at any moment.
func (d *disk) write(at int64, content []byte) {
	d.a.Helper()
	f, err := os.OpenFile(d.path, os.O_WRONLY, 0)
	require.NoError(d.a, err)
	_, err = f.WriteAt(content, at)
	require.NoError(d.a, errors.Join(err, f.Sync(), f.Close()))
}

func (d *disk) read(at, length int64) []byte {
	d.a.Helper()
	f, err := os.Open(d.path)
	require.NoError(d.a, err)
	content := make([]byte, length)
	_, err = f.ReadAt(content, at)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	require.NoError(d.a, errors.Join(err, f.Close()))
	return content
}

// mark fills the beginning of the disk with a pattern; the function makes sure
// that it is still there.
func (d *disk) mark() (requireUntouched func()) {
	pattern := bytes.Repeat([]byte("not yours. "), 400)
	d.write(0, pattern)
	return func() {
		d.a.Helper()
		require.True(d.a, bytes.Equal(pattern, d.read(0, int64(len(pattern)))), "the disk was written to")
	}
}

// requireErased: where signatures were is nothing.
func (d *disk) requireErased() {
	d.a.Helper()
	const area = 128 << 10
	require.True(d.a, bytes.Equal(make([]byte, area), d.read(0, area)), "the beginning of the disk is not erased")
}

// written are the parts of the disk, in bytes, that anybody has written to.
func (d *disk) written() (parts [][2]int64) {
	f, err := os.Open(d.path)
	require.NoError(d.a, err)
	defer func() { _ = f.Close() }()
	for at := int64(0); ; {
		from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // nothing but holes to the end
			return parts
		}
		require.NoError(d.a, err)
		at, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
		require.NoError(d.a, err)
		parts = append(parts, [2]int64{from, at})
	}
}

// contains says whether the text is on the disk, as the host sees it.
func (d *disk) contains(text string) bool {
	for _, part := range d.written() {
		if bytes.Contains(d.read(part[0], part[1]-part[0]), []byte(text)) {
			return true
		}
	}
	return false
}

// host runs a program in the node.
func (a *attempt) host(name string, arguments ...string) string {
	a.Helper()
	output, err := exec.Command(name, arguments...).CombinedOutput()
	require.NoError(a, err, "%s %q: %s", name, arguments, output)
	return strings.TrimSpace(string(output))
}

// hostWith is host with the text as the program's input.
func (a *attempt) hostWith(input, name string, arguments ...string) {
	a.Helper()
	cmd := exec.Command(name, arguments...)
	cmd.Stdin = strings.NewReader(input)
	output, err := cmd.CombinedOutput()
	require.NoError(a, err, "%s %q: %s", name, arguments, output)
}
