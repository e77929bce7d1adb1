// Copyright (c) 2026 The kata-tes Authors
// SPDX-License-Identifier: Apache-2.0

// Package network sets up the guest's network as Kata's runtime asks for it,
// like kata-agent: a pod's address and routes are the guest's own.
package network

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/kata-containers/kata-containers/src/runtime/virtcontainers/pkg/agent/protocols"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// UpdateInterface finds a link by its hardware address and gives it name,
// addresses and MTU.
func UpdateInterface(wanted *protocols.Interface) error {
	link, err := byHardwareAddress(wanted.GetHwAddr())
	if err != nil {
		return err
	}
	// A name can be changed only while the link is down.
	if err := netlink.LinkSetDown(link); err != nil {
		return fmt.Errorf("taking down %s: %w", link.Attrs().Name, err)
	}
	for _, address := range wanted.GetIPAddresses() {
		network, err := parseAddress(address)
		if err != nil {
			return err
		}
		if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: network}); err != nil {
			return fmt.Errorf("giving %s the address %s: %w", wanted.GetName(), network, err)
		}
	}
	if link.Attrs().Name != wanted.GetName() {
		if err := netlink.LinkSetName(link, wanted.GetName()); err != nil {
			return fmt.Errorf("renaming %s to %s: %w", link.Attrs().Name, wanted.GetName(), err)
		}
	}
	if wanted.GetMtu() > 0 {
		if err := netlink.LinkSetMTU(link, int(wanted.GetMtu())); err != nil {
			return fmt.Errorf("setting the MTU of %s: %w", wanted.GetName(), err)
		}
	}
	if wanted.GetRawFlags()&unix.IFF_NOARP != 0 {
		if err := netlink.LinkSetARPOff(link); err != nil {
			return fmt.Errorf("switching off ARP of %s: %w", wanted.GetName(), err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("taking up %s: %w", wanted.GetName(), err)
	}
	return nil
}

func byHardwareAddress(text string) (netlink.Link, error) {
	address, err := net.ParseMAC(text)
	if err != nil {
		return nil, fmt.Errorf("looking for an interface: %w", err)
	}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	for _, link := range links {
		if bytes.Equal(link.Attrs().HardwareAddr, address) {
			return link, nil
		}
	}
	return nil, fmt.Errorf("no interface has the hardware address %s", address)
}

func parseAddress(address *protocols.IPAddress) (*net.IPNet, error) {
	ip := net.ParseIP(address.GetAddress())
	length, err := strconv.Atoi(address.GetMask())
	if ip == nil || err != nil {
		return nil, fmt.Errorf("no address: %s/%s", address.GetAddress(), address.GetMask())
	}
	bits := 128
	if v4 := ip.To4(); v4 != nil {
		ip, bits = v4, 32
	}
	return &net.IPNet{IP: ip, Mask: net.CIDRMask(length, bits)}, nil
}

// Loopback takes up lo.
func Loopback() error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("taking up the loopback interface: %w", err)
	}
	return nil
}

// Interfaces lists them all.
func Interfaces() ([]*protocols.Interface, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	var list []*protocols.Interface
	for _, link := range links {
		attributes := link.Attrs()
		entry := &protocols.Interface{Device: attributes.Name, Name: attributes.Name, HwAddr: attributes.HardwareAddr.String(), Mtu: uint64(attributes.MTU)}
		addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listing the addresses of %s", attributes.Name), err)
		}
		for _, address := range addresses {
			length, _ := address.Mask.Size()
			entry.IPAddresses = append(entry.IPAddresses, &protocols.IPAddress{
				Family: family(address.IP), Address: address.IP.String(), Mask: strconv.Itoa(length),
			})
		}
		list = append(list, entry)
	}
	return list, nil
}

func family(ip net.IP) protocols.IPFamily {
	if ip.To4() != nil {
		return protocols.IPFamily_v4
	}
	return protocols.IPFamily_v6
}
