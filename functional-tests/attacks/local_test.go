// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

//go:build node

package attacks

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/kata-tes/kata-tes/agentproto"
	"github.com/kata-tes/kata-tes/functional-tests/lab"
)

var localTests = tests{"call/local": local}

const (
	localCID = 1 // vsock(7): VMADDR_CID_LOCAL
	hostCID  = 2
	// kataPort is that of the stand-in for kata-agent, which serves everybody.
	kataPort = 1024
	// ownCID tells TestInGuest that it runs in the guest, and its address.
	ownCID = "TES_ATTACKS_CID"
)

// local runs this very test binary in the guest, as a container's process would
// run there, with the kernel's module for local connections (both by HTTP, which
// the guest has in the tests' network).
func local(a *attempt) {
	modules, err := filepath.Glob("/lib/modules/*/kernel/net/vmw_vsock/vsock_loopback.ko*")
	require.NoError(a, err)
	require.Len(a, modules, 1, "the node has no module vsock_loopback")
	self, err := os.Executable()
	require.NoError(a, err)
	address := a.serve(map[string]string{"/module": modules[0], "/client": self})
	a.sweep("rm -r /run/attack; rmmod vsock_loopback")
	a.sh("mkdir /run/attack && cd /run/attack && for f in module client; do wget -q http://" + address + "/$f || exit; done && insmod module && chmod 755 client")
	a.Log(a.sh(fmt.Sprintf("cd /run/attack && %s=%d ./client -test.v -test.run ^TestInGuest$", ownCID, a.guest.CID)))
}

// serve gives files to the guest until the test ends.
func (a *attempt) serve(files map[string]string) (address string) {
	host, _, err := net.SplitHostPort(lab.RegistryAddress)
	require.NoError(a, err)
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	require.NoError(a, err)
	mux := http.NewServeMux()
	for name, path := range files {
		mux.HandleFunc(name, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) })
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: patience}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	a.Cleanup(func() {
		require.NoError(a, server.Close())
		require.ErrorIs(a, <-ended, http.ErrServerClosed)
	})
	return listener.Addr().String()
}

// TestInGuest runs in the guest only; see local.
func TestInGuest(t *testing.T) {
	own, err := strconv.ParseUint(os.Getenv(ownCID), 10, 32)
	if err != nil {
		t.Skip("runs in a guest only, started by TestAttacks")
	}
	// Control: local connections work, and this one is kept.
	kata, err := connect(uint32(own), kataPort, 0)
	require.NoError(t, err, "local connections do not work, so this shows nothing")
	require.NoError(t, unix.SetNonblock(kata, true))
	_, err = unix.Read(kata, make([]byte, 1))
	require.ErrorIs(t, err, unix.EAGAIN)
	require.NoError(t, unix.Close(kata))

	fd, err := connect(uint32(own), agentproto.Port, 0)
	require.NoError(t, err)
	n, err := unix.Read(fd, make([]byte, 1))
	require.True(t, n == 0 && err == nil || errors.Is(err, unix.ECONNRESET), "%d bytes, %v", n, err)
	require.NoError(t, unix.Close(fd))
	t.Log("by the guest's own CID: hung up on")

	// The agent extension listens at the guest's own address alone.
	_, err = connect(localCID, agentproto.Port, 0)
	require.ErrorIs(t, err, unix.ECONNRESET)
	t.Log("by the local CID: refused")

	for _, cid := range []uint32{localCID, uint32(own)} {
		_, err = connect(cid, agentproto.Port, hostCID)
		require.ErrorIs(t, err, unix.EADDRNOTAVAIL, "the host's address can be taken")
	}
	t.Log("from the host's CID: refused by the kernel")
}

// connect makes a vsock connection, from an address of its own choice unless
// that is 0.
func connect(cid, port, from uint32) (int, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	limit := unix.NsecToTimeval(int64(30 * time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	if from != 0 {
		if err := unix.Bind(fd, &unix.SockaddrVM{CID: from, Port: unix.VMADDR_PORT_ANY}); err != nil {
			return 0, errors.Join(err, unix.Close(fd))
		}
	}
	if err := unix.Connect(fd, &unix.SockaddrVM{CID: cid, Port: port}); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}
