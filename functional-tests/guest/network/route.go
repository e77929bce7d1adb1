// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

package network

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// UpdateRoutes adds routes. Those without a gateway come first: the others may
// need them to reach theirs.
func UpdateRoutes(routes []*protocols.Route) error {
	ordered := slices.Clone(routes)
	slices.SortStableFunc(ordered, func(a, b *protocols.Route) int {
		return cmp.Compare(len(a.GetGateway()), len(b.GetGateway()))
	})
	for _, wanted := range ordered {
		route, err := parseRoute(wanted)
		if err != nil {
			return err
		}
		if err := netlink.RouteReplace(route); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("adding the route %v: %w", wanted, err)
		}
	}
	return nil
}

func parseRoute(wanted *protocols.Route) (*netlink.Route, error) {
	link, err := netlink.LinkByName(wanted.GetDevice())
	if err != nil {
		return nil, fmt.Errorf("finding the interface of a route: %w", err)
	}
	route := &netlink.Route{
		LinkIndex: link.Attrs().Index,
		Scope:     netlink.Scope(wanted.GetScope()),
		Flags:     int(wanted.GetFlags()),
		MTU:       int(wanted.GetMtu()),
		Table:     unix.RT_TABLE_MAIN,
		Type:      unix.RTN_UNICAST,
		Protocol:  unix.RTPROT_BOOT,
		Dst:       &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
	}
	if wanted.GetFamily() == protocols.IPFamily_v6 {
		route.Dst = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	if wanted.GetDest() != "" {
		if _, route.Dst, err = net.ParseCIDR(wanted.GetDest()); err != nil {
			return nil, fmt.Errorf("destination of a route: %w", err)
		}
	}
	for _, part := range []struct {
		text string
		ip   *net.IP
	}{{wanted.GetGateway(), &route.Gw}, {wanted.GetSource(), &route.Src}} {
		if part.text == "" {
			continue
		}
		if *part.ip = net.ParseIP(part.text); *part.ip == nil {
			return nil, fmt.Errorf("a route has %q for an address", part.text)
		}
	}
	return route, nil
}

// Routes lists those of the main table.
func Routes() ([]*protocols.Route, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	var list []*protocols.Route
	for _, route := range routes {
		link, err := netlink.LinkByIndex(route.LinkIndex)
		if err != nil {
			return nil, fmt.Errorf("finding the interface of a route: %w", err)
		}
		entry := &protocols.Route{Device: link.Attrs().Name, Scope: uint32(route.Scope), Flags: uint32(route.Flags), Mtu: uint32(route.MTU)}
		if route.Dst != nil {
			entry.Dest, entry.Family = route.Dst.String(), family(route.Dst.IP)
		}
		if route.Gw != nil {
			entry.Gateway, entry.Family = route.Gw.String(), family(route.Gw)
		}
		if route.Src != nil {
			entry.Source = route.Src.String()
		}
		list = append(list, entry)
	}
	return list, nil
}

// AddNeighbors adds entries to the table of neighbors.
func AddNeighbors(neighbors []*protocols.ARPNeighbor) error {
	for _, wanted := range neighbors {
		link, err := netlink.LinkByName(wanted.GetDevice())
		if err != nil {
			return fmt.Errorf("finding the interface of a neighbor: %w", err)
		}
		neighbor := &netlink.Neigh{
			LinkIndex: link.Attrs().Index,
			IP:        net.ParseIP(wanted.GetToIPAddress().GetAddress()),
			State:     cmp.Or(int(wanted.GetState()), netlink.NUD_PERMANENT),
			Flags:     int(wanted.GetFlags()),
		}
		if neighbor.IP == nil {
			return fmt.Errorf("a neighbor has %q for an address", wanted.GetToIPAddress().GetAddress())
		}
		if wanted.GetLladdr() != "" {
			if neighbor.HardwareAddr, err = net.ParseMAC(wanted.GetLladdr()); err != nil {
				return fmt.Errorf("neighbor %s: %w", neighbor.IP, err)
			}
		}
		if err := netlink.NeighSet(neighbor); err != nil {
			return fmt.Errorf("adding the neighbor %s: %w", neighbor.IP, err)
		}
	}
	return nil
}
