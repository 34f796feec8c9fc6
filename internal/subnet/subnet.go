// Package subnet is address arithmetic: what an address with its prefix length
// says about itself, and how a pool of addresses is divided.
//
// It serves `hopyard ip` and the address plan of a lab, and knows no files and
// no packets. Start reading at Describe and Pool.
package subnet

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"math/bits"
	"net/netip"
	"strings"
)

// number is an address as a 128-bit number; an IPv4 address is its low 32 bits.
type number struct{ high, low uint64 }

func numberOf(a netip.Addr) number {
	if a.Is4() {
		b := a.As4()
		return number{0, uint64(binary.BigEndian.Uint32(b[:]))}
	}
	b := a.As16()
	return number{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (n number) addr(is4 bool) netip.Addr {
	if is4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(n.low))
		return netip.AddrFrom4(b)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], n.high)
	binary.BigEndian.PutUint64(b[8:], n.low)
	return netip.AddrFrom16(b)
}

func (n number) less(m number) bool { return n.high < m.high || n.high == m.high && n.low < m.low }

// add returns the sum and whether it wrapped.
func (n number) add(m number) (number, bool) {
	low, carry := bits.Add64(n.low, m.low, 0)
	high, carry := bits.Add64(n.high, m.high, carry)
	return number{high, low}, carry != 0
}

func (n number) or(m number) number     { return number{n.high | m.high, n.low | m.low} }
func (n number) andNot(m number) number { return number{n.high &^ m.high, n.low &^ m.low} }

// lowBits is a number of that many ones.
func lowBits(count int) number {
	switch {
	case count >= 128:
		return number{^uint64(0), ^uint64(0)}
	case count >= 64:
		return number{1<<(count-64) - 1, ^uint64(0)}
	}
	return number{0, 1<<count - 1}
}

func hostBits(p netip.Prefix) int { return p.Addr().BitLen() - p.Bits() }

// Last is the highest address of a prefix: the broadcast address, in IPv4.
func Last(p netip.Prefix) netip.Addr {
	return numberOf(p.Addr()).or(lowBits(hostBits(p))).addr(p.Addr().Is4())
}

// Host is the address of that number in a prefix, counted from the network's
// own, which is 0; ok is false past its end.
func Host(p netip.Prefix, n uint64) (a netip.Addr, ok bool) {
	sum, wrapped := numberOf(p.Masked().Addr()).add(number{0, n})
	a = sum.addr(p.Addr().Is4())
	return a, !wrapped && p.Contains(a)
}

// Usable reports whether an address of the prefix can be a host's. In IPv4 the
// first names the network and the last is the broadcast, but not on a /31
// (RFC 3021) or a /32. In IPv6 the first is the subnet-router anycast address
// (RFC 4291 2.6.1), but not on a /127 (RFC 6164) or a /128.
func Usable(p netip.Prefix, a netip.Addr) bool {
	if !p.Contains(a) {
		return false
	}
	if hostBits(p) <= 1 {
		return true
	}
	return a != p.Masked().Addr() && (a.Is6() || a != Last(p))
}

// Parent is the prefix one bit shorter; ok is false for /0.
func Parent(p netip.Prefix) (parent netip.Prefix, ok bool) {
	if p.Bits() == 0 {
		return p, false
	}
	return netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked(), true
}

// Mask is the netmask of an IPv4 prefix length as an address: 255.255.255.0.
func Mask(length int) netip.Addr {
	return lowBits(32).andNot(lowBits(32 - length)).addr(true)
}

// Info is what an address with its prefix length says about itself.
type Info struct {
	Prefix  netip.Prefix // as given
	Network netip.Prefix // with the host part zero

	Netmask, Wildcard netip.Addr // IPv4 only
	Broadcast         netip.Addr // IPv4 only, and not on a /31 or /32
	First, Last       netip.Addr // the hosts
	Count             *big.Int   // addresses that hosts can have

	Class       byte         // IPv4 only: A to E, as before CIDR (RFC 791, RFC 1112)
	ClassPrefix netip.Prefix // IPv4 classes A to C: what the class alone would take as network
	Scope       string       // IPv6 only: RFC 4291 2.4, RFC 7346
	EUI64       string       // IPv6 only: the MAC address that the interface identifier looks made of
	Special     []Special    // the registered ranges it is in, the narrowest first
	Public      bool         // can be reached across the Internet
}

// Parse reads address/length; an address alone is a /32 or /128, and
// 10.0.0.1/255.255.255.0 is read too.
func Parse(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	address, length, slash := strings.Cut(s, "/")
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is not an IP address; want one as in 192.168.1.10/24 or 2001:db8::1/64", address)
	}
	a = a.Unmap()
	if !slash {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	if mask, err := netip.ParseAddr(length); err == nil && mask.Is4() && a.Is4() {
		for n := range 33 {
			if Mask(n) == mask {
				return netip.PrefixFrom(a, n), nil
			}
		}
		return netip.Prefix{}, fmt.Errorf("%s is not a netmask: its ones must all come before its zeros", mask)
	}
	p, err := netip.ParsePrefix(a.String() + "/" + length)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a prefix length: want a number from 0 to %d", length, a.BitLen())
	}
	return p, nil
}

// Describe works out everything about an address with its prefix length.
// Precondition: p is valid.
func Describe(p netip.Prefix) Info {
	a, network := p.Addr(), p.Masked()
	info := Info{Prefix: p, Network: network, First: network.Addr(), Last: Last(p), Special: specials(a)}
	info.Count = new(big.Int).Lsh(big.NewInt(1), uint(hostBits(p)))
	info.Public = len(info.Special) == 0 || info.Special[0].Global
	if hostBits(p) > 1 {
		info.First, _ = Host(network, 1)
		info.Count.Sub(info.Count, big.NewInt(1))
		if a.Is4() {
			info.Broadcast, info.Last = Last(p), Last(p).Prev()
			info.Count.Sub(info.Count, big.NewInt(1))
		}
	}
	if a.Is4() {
		info.Netmask = Mask(p.Bits())
		info.Wildcard = lowBits(32 - p.Bits()).addr(true)
		info.Class, info.ClassPrefix = class(a)
		return info
	}
	info.Scope = scope(a)
	info.EUI64 = eui64(a)
	return info
}

// class is the class of an IPv4 address by its first bits: 0, 10, 110, 1110, 1111.
func class(a netip.Addr) (byte, netip.Prefix) {
	ones := bits.LeadingZeros8(^a.As4()[0])
	if ones >= 3 {
		return 'D' + byte(min(ones, 4)-3), netip.Prefix{}
	}
	return 'A' + byte(ones), netip.PrefixFrom(a, 8*(ones+1)).Masked()
}

func scope(a netip.Addr) string {
	b := a.As16()
	switch {
	case a.IsLoopback():
		return "host"
	case a.IsUnspecified():
		return "none"
	case b[0] == 0xff:
		names := map[byte]string{1: "interface-local", 2: "link-local", 3: "realm-local", 4: "admin-local", 5: "site-local", 8: "organization-local", 14: "global"}
		if name := names[b[1]&15]; name != "" {
			return "multicast, " + name
		}
		return "multicast, unassigned scope"
	case a.IsLinkLocalUnicast():
		return "link-local: this link only"
	case b[0]&0xfe == 0xfc:
		return "global by RFC 4193, but routed only within a site"
	}
	return "global"
}

// eui64 is the MAC address behind a modified EUI-64 identifier (RFC 4291 A).
func eui64(a netip.Addr) string {
	b := a.As16()
	if b[0] == 0xff || b[11] != 0xff || b[12] != 0xfe {
		return ""
	}
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", b[8]^2, b[9], b[10], b[13], b[14], b[15])
}

// Picture is the address in binary with a bar between network and host part,
// in groups of 8 bits, or 16 for IPv6.
func Picture(p netip.Prefix) string {
	var b strings.Builder
	group := 8
	if p.Addr().Is6() {
		group = 16
	}
	bytes := p.Addr().AsSlice()
	for i := range len(bytes) * 8 {
		switch {
		case i == p.Bits():
			b.WriteString(" | ")
		case i > 0 && i%group == 0 && group == 8:
			b.WriteByte('.')
		case i > 0 && i%group == 0:
			b.WriteByte(':')
		}
		b.WriteByte('0' + bytes[i/8]>>(7-i%8)&1)
	}
	if p.Bits() == len(bytes)*8 {
		b.WriteString(" |")
	}
	return b.String()
}
