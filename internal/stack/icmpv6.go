package stack

import (
	"net/netip"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// receiveICMPv6 takes an ICMPv6 message for this machine, and owns the frame.
func (s *Stack) receiveICMPv6(now sim.Time, p *packet) {
	s.count6(icmp6InMsgs)
	m, err := wire.ParseICMPv6(p.upper())
	switch {
	case err != nil:
		s.count6(icmp6InErrors)
		s.drop(now, p.in, p.frame, wire.DropMalformed)
		return
	case !p.frame.ChecksumsGood && !m.ChecksumOK(p.src, p.dst):
		s.count6(icmp6InCsumErrors)
		s.drop(now, p.in, p.frame, wire.DropBadChecksum)
		return
	}
	why := wire.NotDropped
	switch m.Type() {
	case wire.ICMPv6Echo:
		s.echoIPv6(now, p, m)
	case wire.ICMPv6EchoReply: // raw sockets have it
	case wire.ICMPv6RouterSolicitation, wire.ICMPv6RouterAdvertisement, wire.ICMPv6NeighborSolicitation,
		wire.ICMPv6NeighborAdvertisement, wire.ICMPv6Redirect:
		why = s.receiveND(now, p)
	case wire.ICMPv6Unreachable, wire.ICMPv6PacketTooBig, wire.ICMPv6TimeExceeded, wire.ICMPv6ParamProblem:
		why = s.receiveErrorIPv6(now, p, m)
	default:
		why = wire.DropUnknownType // RFC 4443 2.4 b: MLD and what else is not spoken
	}
	if why != wire.NotDropped {
		s.drop(now, p.in, p.frame, why)
		return
	}
	p.frame.Release()
}

// echoIPv6 answers an echo request (RFC 4443 4.2), one to a group too, from an
// address of the interface.
func (s *Stack) echoIPv6(now sim.Time, p *packet, m wire.ICMPv6) {
	o := outgoing{dst: p.src, protocol: wire.ProtocolICMPv6, tos: p.tos}
	if !p.dst.IsMulticast() {
		o.src = p.dst
	}
	if p.src.IsLinkLocalUnicast() || p.src.IsMulticast() {
		o.iface = p.in
	}
	if s.route(now, &o) != nil {
		return
	}
	f := s.newFrame(wire.EthernetLen + wire.IPv6Len + len(m))
	h := wire.ICMPv6Header{Type: wire.ICMPv6EchoReply, Rest: m.Rest(), Src: o.src, Dst: o.dst}
	f.SetBytes(wire.AppendICMPv6(f.Buffer(), h, m.Payload()))
	s.count6(icmp6OutMsgs)
	_ = s.send(now, f, &o) // nobody to tell
}

// errorIPv6 is an ICMPv6 error to send; rest is the second half of its header.
type errorIPv6 struct {
	kind wire.ICMPv6Type
	code uint8
	rest uint32
}

// icmpv6Error sends an ICMPv6 error about p.
func (s *Stack) icmpv6Error(now sim.Time, p *packet, why problem, mtu int) {
	e := errorIPv6{kind: wire.ICMPv6Unreachable}
	switch why {
	case problemNoRoute:
		e.code = wire.ICMPv6NoRoute
	case problemHostUnreachable:
		e.code = wire.ICMPv6AddressUnreachable
	case problemPortUnreachable:
		e.code = wire.ICMPv6PortUnreachable
	case problemProhibited:
		e.code = wire.ICMPv6AdminProhibited
	case problemTooBig:
		e = errorIPv6{kind: wire.ICMPv6PacketTooBig, rest: uint32(mtu)}
	case problemTTLExceeded:
		e = errorIPv6{kind: wire.ICMPv6TimeExceeded, code: wire.ICMPTTLExceeded}
	case problemReassemblyTimeout:
		e = errorIPv6{kind: wire.ICMPv6TimeExceeded, code: wire.ICMPReassemblyExceeded}
	case problemProtocolUnreachable:
		// RFC 8200 4: the field that names what is not known.
		x, _ := wire.IPv6(p.ipPacket()).Extensions()
		e = errorIPv6{kind: wire.ICMPv6ParamProblem, code: wire.ICMPv6UnknownNextHeader, rest: uint32(x.NamedAt)}
	}
	s.sendErrorIPv6(now, p, e)
}

// sendErrorIPv6 sends an error about p if RFC 4443 2.4 allows it (icmp6_send), with
// as much of p as the minimum MTU has room for.
func (s *Stack) sendErrorIPv6(now sim.Time, p *packet, e errorIPv6) {
	if !mayReport(p, e) {
		return
	}
	o := outgoing{dst: p.src, protocol: wire.ProtocolICMPv6}
	if p.src.IsLinkLocalUnicast() {
		o.iface = p.in
	}
	if a := s.localIPv6(p.in, p.dst); a != nil && a.usable() {
		o.src = p.dst // RFC 4443 2.2 a
	}
	if s.route(now, &o) != nil || !s.allowErrorIPv6(now, &o, e.kind) {
		return
	}
	quoted := p.ipPacket()
	quoted = quoted[:min(len(quoted), wire.IPv6MinMTU-wire.IPv6Len-wire.ICMPLen)]
	f := s.newFrame(wire.EthernetLen + wire.IPv6Len + wire.ICMPLen + len(quoted))
	h := wire.ICMPv6Header{Type: e.kind, Code: e.code, Rest: e.rest, Src: o.src, Dst: o.dst}
	f.SetBytes(wire.AppendICMPv6(f.Buffer(), h, quoted))
	s.count6(icmp6OutMsgs)
	_ = s.send(now, f, &o) // nobody to tell
}

// mayReport is RFC 4443 2.4 e: no error about an error or a redirect, to nobody in
// particular, or about a packet to many but for the two kinds that path MTU
// discovery and option checks need.
func mayReport(p *packet, e errorIPv6) bool {
	if p.src.IsUnspecified() || p.src.IsMulticast() || isErrorIPv6(p) {
		return false
	}
	toMany := p.dst.IsMulticast() || p.cast != toHost
	return !toMany || e.kind == wire.ICMPv6PacketTooBig || e.kind == wire.ICMPv6ParamProblem && e.code == wire.ICMPv6UnknownIPv6Option
}

// isErrorIPv6 reports whether p is an ICMPv6 error or a redirect; a fragment that
// does not show it counts as none, a header too short as one (is_ineligible).
func isErrorIPv6(p *packet) bool {
	protocol, upper := wire.IPv6(p.ipPacket()).Upper()
	if protocol != wire.ProtocolICMPv6 {
		return false
	}
	m, err := wire.ParseICMPv6(upper)
	return err != nil || m.IsError() || m.Type() == wire.ICMPv6Redirect
}

// tokenBucket limits errors to one destination (inet_peer_xrlim_allow).
type tokenBucket struct {
	tokens sim.Duration
	last   sim.Time
}

// tokenBurst is XRLIM_BURST_FACTOR: errors that may be sent at once.
const tokenBurst = 6

// tokenBucketsMax bounds the table of rate limits; Linux's inet_peer tree holds
// 65536 and forgets the oldest. Full, it begins anew.
const tokenBucketsMax = 4096

// allow takes one error at a time from the bucket.
func (b *tokenBucket) allow(now sim.Time, each sim.Duration) bool {
	b.tokens = min(b.tokens+now.Sub(b.last), tokenBurst*each)
	b.last = now
	if b.tokens < each {
		return false
	}
	b.tokens -= each
	return true
}

// bucketOf is the bucket of a destination, full when it is new.
func (s *Stack) bucketOf(now sim.Time, dst netip.Addr, each sim.Duration) *tokenBucket {
	v := s.ipv6()
	b := v.limits[dst]
	if b == nil {
		if v.limits == nil || len(v.limits) >= tokenBucketsMax {
			v.limits = map[netip.Addr]*tokenBucket{}
		}
		b = &tokenBucket{tokens: tokenBurst * each, last: now}
		v.limits[dst] = b
	}
	return b
}

// allowErrorIPv6 is RFC 4443 2.4 f as Linux does it (icmpv6_xrlim_allow): packet too
// big is not limited (net.ipv6.icmp.ratemask), nor is lo; the shorter the prefix of
// the route back, the more errors it is allowed.
func (s *Stack) allowErrorIPv6(now sim.Time, o *outgoing, kind wire.ICMPv6Type) bool {
	each := s.sysctl.IPv6.ICMPRateLimit
	if kind == wire.ICMPv6PacketTooBig || o.iface.loopback || each == 0 {
		return true
	}
	if r := s.routes[1].lookup(o.dst, o.iface); r != nil {
		each >>= (128 - r.Prefix.Bits()) >> 5
	}
	if s.bucketOf(now, o.dst, each).allow(now, each) {
		return true
	}
	s.count6(icmp6OutRateLimitHost)
	return false
}

// receiveErrorIPv6 takes an ICMPv6 error about a packet that this machine sent.
func (s *Stack) receiveErrorIPv6(now sim.Time, p *packet, m wire.ICMPv6) wire.Drop {
	v, err := wire.ParseQuotedIPv6(m.Payload())
	if err != nil {
		s.count6(icmp6InErrors)
		return wire.DropMalformed
	}
	if !s.isOwnIPv6(v.Src(), p.in) {
		s.count6(icmp6InErrors)
		return wire.DropNotForUs // not about a packet of ours
	}
	if m.Type() == wire.ICMPv6PacketTooBig {
		s.learnMTU(now, v.Dst(), max(m.MTU(), wire.IPv6MinMTU), wire.IPv6MinMTU, s.sysctl.IPv6.MTUExpires)
	}
	quoted := packet{
		frame: p.frame, in: p.in, src: v.Src(), dst: v.Dst(), ttl: v.HopLimit(), tos: v.TrafficClass(),
		ip: p.payload + wire.ICMPLen, end: p.payload + wire.ICMPLen + len(v),
	}
	protocol, upper := v.Upper()
	quoted.protocol, quoted.payload = protocol, quoted.end-len(upper)
	errno, fatal := errnoIPv6(m)
	r := report{protocol: protocol, packet: quoted, quoted: upper, fatal: fatal}
	r.message = ErrorMessage{Errno: errno, Offender: zoned(p.src, p.in), Type: uint8(m.Type()), Code: m.Code(), At: now}
	r.tooBig = m.Type() == wire.ICMPv6PacketTooBig
	if r.tooBig || m.Type() == wire.ICMPv6ParamProblem {
		r.message.Info = int(m.Rest())
	}
	s.deliverError(now, &r)
	return wire.NotDropped
}

// errnoIPv6 is what a socket gets for an error, and whether it ends a connection
// (icmpv6_err_convert).
func errnoIPv6(m wire.ICMPv6) (errno syscall.Errno, fatal bool) {
	switch m.Type() {
	case wire.ICMPv6PacketTooBig:
		return syscall.EMSGSIZE, true // to a socket that discovers the path MTU (udpv6_err)
	case wire.ICMPv6TimeExceeded:
		return syscall.EHOSTUNREACH, false
	case wire.ICMPv6ParamProblem:
		return syscall.EPROTO, true
	}
	switch m.Code() {
	case wire.ICMPv6NoRoute:
		return syscall.ENETUNREACH, false
	case wire.ICMPv6PortUnreachable:
		return syscall.ECONNREFUSED, true
	case wire.ICMPv6AdminProhibited, wire.ICMPv6FailedPolicy, wire.ICMPv6RejectRoute:
		return syscall.EACCES, true
	case wire.ICMPv6BeyondScope, wire.ICMPv6AddressUnreachable:
		return syscall.EHOSTUNREACH, false
	}
	return syscall.EPROTO, true
}

// redirectIPv6 tells the source of a packet that goes out where it came in of a
// better first hop (RFC 4861 8.2; ndisc_send_redirect).
func (s *Stack) redirectIPv6(now sim.Time, p *packet, next netip.Addr) {
	i := p.in
	back := s.routes[1].lookup(p.src, i)
	if back == nil || back.Gateway.IsValid() || p.src.IsUnspecified() {
		return // the source is no neighbour
	}
	if next != p.dst && !next.IsLinkLocalUnicast() {
		return // a target must be link-local, or the destination itself
	}
	src := i.linkLocal()
	if src == nil || !src.usable() || !s.bucketOf(now, p.src, s.sysctl.IPv6.ICMPRateLimit).allow(now, s.sysctl.IPv6.ICMPRateLimit) {
		return
	}
	h := wire.NDRedirectHeader{Src: src.Addr(), Dst: p.src, Target: next, Destination: p.dst}
	if n := i.LookupNeighbor(next); n != nil && n.State.valid() {
		h.TargetMAC = n.MAC
	}
	quoted := p.ipPacket()
	room := (wire.IPv6MinMTU - wire.IPv6Len - wire.NDRedirectLen - 8 - 8) &^ 7
	h.Quoted = quoted[:min(len(quoted), room)]
	f := s.newFrame(wire.EthernetLen + wire.IPv6MinMTU)
	f.SetBytes(wire.AppendNDRedirect(f.Buffer(), h))
	s.count6(icmp6OutMsgs)
	s.count6(ip6OutRequests)
	pushIPv6(f, wire.IPv6Header{NextHeader: wire.ProtocolICMPv6, HopLimit: wire.NDHopLimit, Src: h.Src, Dst: h.Dst})
	s.transmit(now, i, p.src, f)
}

// receiveRedirectIPv6 follows a redirect of the router in use (RFC 4861 8.3;
// rt6_do_redirect).
func (s *Stack) receiveRedirectIPv6(now sim.Time, p *packet, m wire.NDRedirect) wire.Drop {
	c := &s.sysctl.IPv6
	if !c.AcceptRedirects || c.Forwarding {
		return wire.DropForwardingOff
	}
	r := s.routes[1].lookup(m.Destination(), p.in)
	if r == nil || !r.Gateway.IsValid() || s.firstHop(now, m.Destination(), r) != p.src {
		return wire.DropInvalidSource // RFC 4861 8.1: only the current first hop may
	}
	n := p.in.neighbor(now, m.Target())
	if n == nil {
		return wire.DropNeighborQueueFull
	}
	router := m.Target() != m.Destination()
	mac, told := m.Options().LinkLayer(wire.NDTargetLinkLayer)
	s.updateNeighbor(now, n, NeighborUpdate{MAC: mac, KnownMAC: told, State: NeighborStale, Override: true, WeakOverride: true, Router: router, SetRouter: router})
	e := s.makePath(m.Destination())
	e.gateway, e.gatewayTo = m.Target(), now.Add(redirectLifetime)
	return wire.NotDropped
}

// firstHop is the router that packets to dst go to, by r and by what was learned.
func (s *Stack) firstHop(now sim.Time, dst netip.Addr, r *Route) netip.Addr {
	if e := s.path(now, dst); e != nil && e.gateway.IsValid() {
		return e.gateway
	}
	return r.Gateway
}
