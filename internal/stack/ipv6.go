package stack

import (
	"net/netip"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// IPv6Sysctl are the settings under net.ipv6, with Linux's defaults but for
// Disable: IPv6 is off until it is asked for, so that a host of IPv4 alone sends
// and keeps nothing for it.
type IPv6Sysctl struct {
	// net.ipv6.conf.all.*
	Disable                    bool // disable_ipv6
	Forwarding                 bool
	HopLimit                   int
	AcceptRA                   int // 0: never, 1: while not forwarding, 2: always
	AcceptRedirects            bool
	Autoconf                   bool
	DADTransmits               int
	RouterSolicitations        int
	RouterSolicitationInterval sim.Duration
	RouterSolicitationDelay    sim.Duration // also the longest wait before a first DAD probe

	ICMPRateLimit sim.Duration // net.ipv6.icmp.ratelimit

	FragTime       sim.Duration // net.ipv6.ip6frag_time
	FragHighThresh int          // net.ipv6.ip6frag_high_thresh, bytes

	MTUExpires sim.Duration // net.ipv6.route.mtu_expires
}

func defaultIPv6Sysctl() IPv6Sysctl {
	return IPv6Sysctl{
		Disable: true, HopLimit: 64, AcceptRA: 1, AcceptRedirects: true, Autoconf: true, DADTransmits: 1,
		// RFC 4861 10: MAX_RTR_SOLICITATIONS, RTR_SOLICITATION_INTERVAL, MAX_RTR_SOLICITATION_DELAY.
		// Linux since 4.8 says -1, to ask for ever (RFC 7559); 3 lets a lab without routers come to rest.
		RouterSolicitations: 3, RouterSolicitationInterval: 4 * time.Second, RouterSolicitationDelay: time.Second,
		ICMPRateLimit: time.Second, FragTime: 60 * time.Second, FragHighThresh: 4 << 20, MTUExpires: 600 * time.Second,
	}
}

// ipv6State is what a machine keeps for IPv6 besides addresses, routes and
// neighbours; made when first needed.
type ipv6State struct {
	counters   [countersIPv6End]uint32
	reassembly reassemblyIPv6
	limits     map[netip.Addr]*tokenBucket
	fragmentID uint32
}

func (s *Stack) ipv6() *ipv6State {
	if s.v6 == nil {
		s.v6 = &ipv6State{}
	}
	return s.v6
}

// interfaceIPv6 is what IPv6 keeps at an interface.
type interfaceIPv6 struct {
	iface *Interface

	// As a router advertised them; 0: not told.
	hopLimit                 uint8
	mtu                      int
	retrans                  sim.Duration
	reachableBase, reachable sim.Duration // as told, and as drawn from that

	routers  []defaultRouter
	prefixes []onLinkPrefix
	life     sim.Timer // the next end of a router's, prefix's or address's lifetime

	solicit   sim.Timer // the next router solicitation
	solicited int

	advertiser *advertiser // a router's own advertisements; nil: none
}

// v6 state of the interface, made when first needed.
func (i *Interface) ipv6() *interfaceIPv6 {
	if i.v6 == nil {
		i.v6 = &interfaceIPv6{iface: i}
		i.v6.life.Init((*lifetimes)(i.v6))
		i.v6.solicit.Init((*routerSolicitor)(i.v6))
	}
	return i.v6
}

// mtuIPv6 is the largest IPv6 packet that the interface sends.
func (i *Interface) mtuIPv6() int {
	if i.v6 != nil && i.v6.mtu != 0 {
		return min(i.v6.mtu, int(i.mtu))
	}
	return int(i.mtu)
}

// hopLimitIPv6 is the hop limit of packets made here.
func (i *Interface) hopLimitIPv6() uint8 {
	if i.v6 != nil && i.v6.hopLimit != 0 {
		return i.v6.hopLimit
	}
	return uint8(i.stack.sysctl.IPv6.HopLimit)
}

var (
	allRoutersIPv6  = netip.MustParseAddr("ff02::2")
	linkLocalPrefix = netip.MustParsePrefix("fe80::/64")
)

// SetIPv6 switches IPv6 on or off on all interfaces, as disable_ipv6 does: on,
// each that is up gets its link-local address; off, all IPv6 addresses go.
func (s *Stack) SetIPv6(now sim.Time, on bool) {
	if s.sysctl.IPv6.Disable == !on {
		return
	}
	s.ownSettings().IPv6.Disable = !on
	for _, i := range s.Interfaces() {
		if on {
			if i.up {
				s.interfaceUpIPv6(now, i)
			}
			continue
		}
		s.interfaceDownIPv6(now, i)
		for k := len(i.addresses) - 1; k >= 0; k-- {
			if a := i.addresses[k].Addr(); a.Is6() {
				i.RemoveAddress(now, a) // cannot fail: it is in the list
			}
		}
	}
}

// SetForwardingIPv6 makes the machine a router or a host (net.ipv6.conf.all.forwarding).
// Linux forgets the default routers that a host learned when it becomes a router
// (rt6_purge_dflt_routers), and solicits none.
func (s *Stack) SetForwardingIPv6(now sim.Time, on bool) {
	if s.sysctl.IPv6.Forwarding == on {
		return
	}
	s.ownSettings().IPv6.Forwarding = on
	for _, i := range s.Interfaces() {
		if i.v6 == nil {
			continue
		}
		if !s.acceptsRA() {
			s.forgetRouters(i)
		} else if a := i.linkLocal(); a != nil && a.usable() {
			s.solicitRouters(now, i)
		}
	}
}

// interfaceUpIPv6 is called when an interface comes up: it gives it a link-local
// address from its MAC (RFC 4862 5.3, addr_gen_mode=0). What follows from a usable
// link-local address happens when that is known to be no duplicate.
func (s *Stack) interfaceUpIPv6(now sim.Time, i *Interface) {
	if s.sysctl.IPv6.Disable || i.loopback {
		return
	}
	i.ipv6()
	if i.linkLocal() == nil {
		i.AddAddress(now, AddressConfig{Prefix: eui64(linkLocalPrefix, i.mac)}) // cannot fail: it has none
	}
}

// interfaceDownIPv6 is the reverse of interfaceUpIPv6. What routers told is
// forgotten; addresses given by hand stay (keep_addr_on_down=1, Linux has 0, but a
// lab describes addresses once).
func (s *Stack) interfaceDownIPv6(now sim.Time, i *Interface) {
	v := i.v6
	if v == nil {
		return
	}
	s.stopTimer(&v.solicit)
	s.stopTimer(&v.life)
	if v.advertiser != nil {
		s.stopTimer(&v.advertiser.timer)
	}
	s.forgetRouters(i)
	s.forgetPrefixes(i)
	v.hopLimit, v.mtu, v.reachableBase, v.reachable, v.retrans = 0, 0, 0, 0, 0
	for k := len(i.addresses) - 1; k >= 0; k-- {
		if a := i.addresses[k]; a.Dynamic && a.Addr().Is6() {
			i.RemoveAddress(now, a.Addr()) // cannot fail: it is in the list
		}
	}
}

// linkLocal is the interface's first link-local address, or nil.
func (i *Interface) linkLocal() *Address {
	for _, a := range i.addresses {
		if a.Addr().Is6() && a.Addr().IsLinkLocalUnicast() {
			return a
		}
	}
	return nil
}

// addressIPv6 is the interface's address a, or nil.
func (i *Interface) addressIPv6(a netip.Addr) *Address {
	for _, b := range i.addresses {
		if b.Addr() == a {
			return b
		}
	}
	return nil
}

// eui64 is the address of a prefix of 64 bits with the MAC's interface identifier
// (RFC 4291 A, RFC 2464 4).
func eui64(p netip.Prefix, m wire.MAC) netip.Prefix {
	b, id := p.Addr().As16(), m.InterfaceID()
	copy(b[8:], id[:])
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}

// zoneOf is the interface that an address's zone names, by name or index (RFC 4007
// 11, RFC 6874), nil where there is none or the address has no zone.
func (s *Stack) zoneOf(a netip.Addr) *Interface {
	zone := a.Zone()
	if zone == "" {
		return nil
	}
	if i := s.Interface(zone); i != nil {
		return i
	}
	all, n := s.Interfaces(), 0
	for _, c := range []byte(zone) {
		if c < '0' || c > '9' || n > len(all) {
			return nil
		}
		n = 10*n + int(c-'0')
	}
	if n < 1 || n > len(all) {
		return nil
	}
	return all[n-1]
}

// zoned names the interface in a link-local address, as programs must see it.
func zoned(a netip.Addr, i *Interface) netip.Addr {
	if a.Is6() && (a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast()) {
		return a.WithZone(i.name)
	}
	return a
}
