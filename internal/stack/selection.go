package stack

import (
	"math/bits"
	"net/netip"
	"slices"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
)

// policy is a row of the policy table of RFC 6724 2.1.
type policy struct {
	prefix            netip.Prefix
	precedence, label int
}

// policies is the default table, longest prefixes first. IPv4 addresses are looked
// up as IPv4-mapped ones.
var policies = [...]policy{
	{netip.MustParsePrefix("::1/128"), 50, 0},
	{netip.MustParsePrefix("::ffff:0:0/96"), 35, 4},
	{netip.MustParsePrefix("::/96"), 1, 3},
	{netip.MustParsePrefix("2001::/32"), 5, 5},
	{netip.MustParsePrefix("2002::/16"), 30, 2},
	{netip.MustParsePrefix("3ffe::/16"), 1, 12},
	{netip.MustParsePrefix("fec0::/10"), 1, 11},
	{netip.MustParsePrefix("fc00::/7"), 3, 13},
	{netip.MustParsePrefix("::/0"), 40, 1},
}

func policyOf(a netip.Addr) *policy {
	if a.Is4() {
		return &policies[1]
	}
	for k := range policies {
		if prefixContains(policies[k].prefix, a) {
			return &policies[k]
		}
	}
	panic("stack: no policy for " + a.String()) // ::/0 is for every address
}

// prefixContains is Prefix.Contains, which does not see mapped addresses in ::/0.
func prefixContains(p netip.Prefix, a netip.Addr) bool { return commonBits(p.Addr(), a) >= p.Bits() }

// The scopes of RFC 4291 2.7 and RFC 6724 3.1; a unicast address has the one of
// multicast that corresponds.
const (
	scopeLink   = 0x2
	scopeSite   = 0x5
	scopeGlobal = 0xe
)

var siteLocal = netip.MustParsePrefix("fec0::/10")

// scopeOf is the scope of an address. RFC 6724 3.2: IPv4 loopback and link-local
// addresses have link-local scope, private ones global.
func scopeOf(a netip.Addr) int {
	switch {
	case a.Is6() && a.IsMulticast():
		return int(a.As16()[1] & 15)
	case a.IsLinkLocalUnicast() || a.IsLoopback():
		return scopeLink
	case a.Is6() && siteLocal.Contains(a):
		return scopeSite
	}
	return scopeGlobal
}

// commonBits is how many leading bits two addresses share; IPv4 addresses count as
// mapped ones.
func commonBits(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for k := range x {
		if diff := x[k] ^ y[k]; diff != 0 {
			return 8*k + bits.LeadingZeros8(diff)
		}
	}
	return 128
}

// sourceCandidate is an address that a packet may be sent from.
type sourceCandidate struct {
	prefix     netip.Prefix // the address with its prefix length
	deprecated bool
	outgoing   bool // it belongs to the interface that the packet leaves by
}

// betterSource reports whether a is a better source for dst than b: the rules of
// RFC 6724 5 in their order. 4 (home addresses), 5.5 (an optional one) and 7
// (temporary addresses) have nothing to decide here.
func betterSource(dst netip.Addr, a, b *sourceCandidate) bool {
	x, y := a.prefix.Addr(), b.prefix.Addr()
	if x == dst || y == dst {
		return x == dst && y != dst // rule 1
	}
	if sx, sy, want := scopeOf(x), scopeOf(y), scopeOf(dst); sx != sy { // rule 2
		if sx < sy {
			return sx >= want
		}
		return sy < want
	}
	if a.deprecated != b.deprecated { // rule 3
		return b.deprecated
	}
	if a.outgoing != b.outgoing { // rule 5
		return a.outgoing
	}
	label := policyOf(dst).label
	if lx, ly := policyOf(x).label == label, policyOf(y).label == label; lx != ly { // rule 6
		return lx
	}
	return sharedPrefix(a, dst) > sharedPrefix(b, dst) // rule 8
}

// sharedPrefix is CommonPrefixLen of RFC 6724 2.2: no more than the source's prefix
// counts.
func sharedPrefix(c *sourceCandidate, dst netip.Addr) int {
	return min(commonBits(c.prefix.Addr(), dst), c.prefix.Bits())
}

// sourceIPv6 chooses the address to send from (RFC 6724 4, 5) to dst through out.
// For multicast and link-local destinations only out's addresses will do; else
// all of the machine's, as in Linux (use_oif_addrs_only=0).
func (s *Stack) sourceIPv6(dst netip.Addr, out *Interface) (netip.Addr, bool) {
	var best sourceCandidate
	onlyOut := dst.IsMulticast() || dst.IsLinkLocalUnicast()
	for _, i := range s.interfaces {
		if onlyOut && i != out {
			continue
		}
		for _, a := range i.addresses {
			if !a.Addr().Is6() || !a.usable() || i != out && a.Addr().IsLinkLocalUnicast() {
				continue
			}
			c := sourceCandidate{prefix: a.Prefix, deprecated: a.State == AddressDeprecated, outgoing: i == out}
			if !best.prefix.IsValid() || betterSource(dst, &c, &best) {
				best = c
			}
		}
	}
	return best.prefix.Addr(), best.prefix.IsValid()
}

// destination is an address to try with the source that it would be sent from.
type destination struct {
	addr       netip.Addr
	source     netip.Prefix // invalid: it cannot be reached
	deprecated bool
}

// compareDestinations orders destinations, best first: the rules of RFC 6724 6 in
// their order, without 4 (home addresses) and 7 (encapsulation).
func compareDestinations(a, b *destination) int {
	first := func(x, y bool) int { // x decides for a, y for b
		switch {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	}
	if c := first(a.source.IsValid(), b.source.IsValid()); c != 0 || !a.source.IsValid() {
		return c // rule 1
	}
	scopeA, scopeB := scopeOf(a.addr), scopeOf(b.addr)
	if c := first(scopeA == scopeOf(a.source.Addr()), scopeB == scopeOf(b.source.Addr())); c != 0 {
		return c // rule 2
	}
	if c := first(!a.deprecated, !b.deprecated); c != 0 {
		return c // rule 3
	}
	policyA, policyB := policyOf(a.addr), policyOf(b.addr)
	if c := first(policyA.label == policyOf(a.source.Addr()).label, policyB.label == policyOf(b.source.Addr()).label); c != 0 {
		return c // rule 5
	}
	if c := policyB.precedence - policyA.precedence; c != 0 {
		return c // rule 6
	}
	if c := scopeA - scopeB; c != 0 {
		return c // rule 8
	}
	if a.addr.Is6() && b.addr.Is6() {
		// Rule 9. glibc and Go leave IPv4 out of it, where it undoes DNS round robin.
		return sharedPrefix(&sourceCandidate{prefix: b.source}, b.addr) - sharedPrefix(&sourceCandidate{prefix: a.source}, a.addr)
	}
	return 0 // rule 10: as they came
}

// SortDestinations orders the addresses of a name for a connection from this
// machine, best first (RFC 6724 6), as getaddrinfo does.
func (s *Stack) SortDestinations(now sim.Time, addrs []netip.Addr) {
	list := make([]destination, len(addrs))
	for k, a := range addrs {
		list[k].addr = a.WithZone("")
		o := outgoing{dst: a}
		if err := s.route(now, &o); err != nil && err != syscall.EACCES {
			continue
		}
		list[k].source, list[k].deprecated = s.sourcePrefix(o.src)
	}
	order := make([]int, len(addrs))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return compareDestinations(&list[a], &list[b]) })
	sorted := make([]netip.Addr, len(addrs))
	for k, from := range order {
		sorted[k] = addrs[from]
	}
	copy(addrs, sorted)
}

// sourcePrefix is an own address with its prefix length.
func (s *Stack) sourcePrefix(a netip.Addr) (p netip.Prefix, deprecated bool) {
	if !a.IsValid() || a.IsUnspecified() {
		return netip.Prefix{}, false
	}
	if l := s.locals.lookup(a); l != nil {
		return l.owner.Prefix, l.owner.State == AddressDeprecated
	}
	return netip.PrefixFrom(a, a.BitLen()), false
}
