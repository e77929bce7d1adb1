// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package network

import (
	"os"
	"runtime"
	"testing"

	"github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const hardwareAddress = "5e:a2:d3:cb:bc:28"

// ownNetwork gives the test a network of its own with one interface, as a
// guest has it.
func ownNetwork(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	// Never unlocked: the thread, and with it the namespace, ends with the test.
	runtime.LockOSThread()
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "ens1"}, PeerName: "peer"}
	link.HardwareAddr = []byte{0x5e, 0xa2, 0xd3, 0xcb, 0xbc, 0x28}
	require.NoError(t, netlink.LinkAdd(link))
	peer, err := netlink.LinkByName("peer")
	require.NoError(t, err)
	require.NoError(t, netlink.LinkSetUp(peer))
}

// TestNetwork sends what Kata's runtime sends for a pod of the ptp plugin, as
// it was recorded, twice, as it does.
func TestNetwork(t *testing.T) {
	ownNetwork(t)
	require.NoError(t, Loopback())
	for range 2 {
		require.NoError(t, UpdateInterface(&protocols.Interface{
			Device: "eth0", Name: "eth0", Mtu: 1400, HwAddr: hardwareAddress,
			IPAddresses: []*protocols.IPAddress{{Address: "10.88.0.2", Mask: "16"}},
		}))
		require.NoError(t, UpdateRoutes([]*protocols.Route{
			{Gateway: "10.88.0.1", Device: "eth0"},
			{Dest: "10.88.0.0/16", Gateway: "10.88.0.1", Device: "eth0", Source: "10.88.0.2"},
			{Dest: "10.88.0.1/32", Device: "eth0", Source: "10.88.0.2", Scope: uint32(unix.RT_SCOPE_LINK)},
		}))
		require.NoError(t, AddNeighbors([]*protocols.ARPNeighbor{
			{ToIPAddress: &protocols.IPAddress{Address: "10.88.0.1"}, Device: "eth0", Lladdr: "02:00:00:00:00:01"},
		}))
	}

	interfaces, err := Interfaces()
	require.NoError(t, err)
	var found *protocols.Interface
	for _, entry := range interfaces {
		if entry.Name == "eth0" {
			found = entry
		}
	}
	require.NotNil(t, found, "renamed")
	require.Equal(t, hardwareAddress, found.HwAddr)
	require.Equal(t, uint64(1400), found.Mtu)
	require.Equal(t, "10.88.0.2", found.IPAddresses[0].Address)

	routes, err := Routes()
	require.NoError(t, err)
	gateways := map[string]string{}
	for _, route := range routes {
		gateways[route.Dest] = route.Gateway
	}
	require.Equal(t, "10.88.0.1", gateways["0.0.0.0/0"])
	require.Contains(t, gateways, "10.88.0.1/32")
}

func TestRefused(t *testing.T) {
	ownNetwork(t)
	require.ErrorContains(t, UpdateInterface(&protocols.Interface{HwAddr: "02:00:00:00:00:09"}), "hardware address")
	require.Error(t, UpdateInterface(&protocols.Interface{HwAddr: "none"}))
	require.ErrorContains(t, UpdateInterface(&protocols.Interface{
		Name: "ens1", HwAddr: hardwareAddress, IPAddresses: []*protocols.IPAddress{{Address: "10.0.0.999", Mask: "8"}},
	}), "10.0.0.999")
	require.Error(t, UpdateRoutes([]*protocols.Route{{Device: "none"}}))
	require.ErrorContains(t, UpdateRoutes([]*protocols.Route{{Device: "ens1", Gateway: "nowhere"}}), "nowhere")
	require.Error(t, AddNeighbors([]*protocols.ARPNeighbor{{Device: "ens1", ToIPAddress: &protocols.IPAddress{Address: "x"}}}))
}
