package stack

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// icmpProblems are the messages for problems, by problem.
var icmpProblems = [...]wire.ICMPHeader{
	problemNoRoute:             {Type: wire.ICMPUnreachable, Code: wire.ICMPNetUnreachable},
	problemHostUnreachable:     {Type: wire.ICMPUnreachable, Code: wire.ICMPHostUnreachable},
	problemProtocolUnreachable: {Type: wire.ICMPUnreachable, Code: wire.ICMPProtocolUnreachable},
	problemPortUnreachable:     {Type: wire.ICMPUnreachable, Code: wire.ICMPPortUnreachable},
	problemTooBig:              {Type: wire.ICMPUnreachable, Code: wire.ICMPFragmentationNeeded},
	problemProhibited:          {Type: wire.ICMPUnreachable, Code: wire.ICMPAdminProhibited},
	problemTTLExceeded:         {Type: wire.ICMPTimeExceeded, Code: wire.ICMPTTLExceeded},
	problemReassemblyTimeout:   {Type: wire.ICMPTimeExceeded, Code: wire.ICMPReassemblyExceeded},
}

// icmpv4Error tells the source of p what went wrong with it.
func (s *Stack) icmpv4Error(now sim.Time, p *packet, why problem, mtu int) {
	h := icmpProblems[why]
	if why == problemTooBig {
		h.Rest = uint32(mtu)
	}
	s.icmpv4Message(now, p, h)
}

// icmpQuoteMax is the longest error message: RFC 1812 4.3.2.3.
const icmpQuoteMax = 576

// icmpv4Message is __icmp_send: it sends an error about p, if the rules and the
// limits allow, and reports whether it did.
func (s *Stack) icmpv4Message(now sim.Time, p *packet, h wire.ICMPHeader) bool {
	ip, err := wire.ParseIPv4(p.ipPacket())
	if err != nil || !s.mayComplain(p, ip) {
		return false
	}
	o := outgoing{
		dst: p.src, protocol: wire.ProtocolICMP, discover: DiscoverDont,
		tos: ip.TOS()&0x1e | 0xc0, // IPTOS_PREC_INTERNETCONTROL, RFC 1812 4.3.2.5
	}
	switch {
	case s.IsLocal(p.dst):
		o.src = p.dst
	case s.sysctl.ICMPErrorsUseInboundAddress && !p.in.loopback:
		o.src = s.selectSourceIPv4(p.in, p.src)
	}
	if s.routeIPv4(now, &o) != nil || !s.allowICMP(now, &o, h) {
		return false
	}
	quote := ip[:min(len(ip), min(o.mtu, icmpQuoteMax)-wire.IPv4MinLen-wire.ICMPLen)]
	f := s.newFrame(wire.ICMPLen + len(quote))
	f.SetBytes(wire.AppendICMP(f.Buffer(), h, quote))
	s.countICMPOut(h.Type)
	return s.sendIPv4(now, f, &o) == nil
}

// mayComplain reports whether an error about the packet may be sent at all
// (RFC 1122 3.2.2, RFC 1812 4.3.2.7).
func (s *Stack) mayComplain(p *packet, ip wire.IPv4) bool {
	if p.cast != toHost || ip.FragmentOffset() != 0 || p.dst.IsMulticast() || p.dst == limitedBroadcast {
		return false
	}
	if l := s.locals.lookup(p.dst); l != nil && l.broadcast {
		return false
	}
	if zeronet(p.src) || p.src.IsMulticast() || p.src.As4()[0] >= 240 || isLoopback(p.src) && !p.in.loopback {
		return false
	}
	if l := s.locals.lookup(p.src); l != nil && l.broadcast {
		return false
	}
	if ip.Protocol() != wire.ProtocolICMP {
		return true
	}
	m, err := wire.ParseICMP(ip.Payload())
	return err == nil && !m.IsError()
}

// peerLimit is how much a destination was sent (struct inet_peer).
type peerLimit struct {
	tokens       sim.Duration // of ICMP messages
	filledAt     sim.Time
	redirectedAt sim.Time
	redirects    int
}

// ipv4State is what a machine keeps for IPv4 besides addresses, routes and
// neighbours; made when first needed.
type ipv4State struct {
	fragments reassemblyState
	peers     map[netip.Addr]*peerLimit
	tokens    int // of ICMP messages to all
	filledAt  sim.Time
}

func (s *Stack) ipv4() *ipv4State {
	if s.v4 == nil {
		s.v4 = &ipv4State{tokens: s.sysctl.ICMPMsgsBurst}
	}
	return s.v4
}

func (v *ipv4State) reassembly() *reassemblyState {
	if v.fragments.partials == nil {
		v.fragments.partials = map[fragmentKey]*partial{}
	}
	return &v.fragments
}

// peersMax bounds the memory of destinations; Linux trims its tree likewise
// (inet_peer_threshold).
const peersMax = 65536 + 128

// peerLimit is what dst was sent, made full if it is not known.
func (s *Stack) peerLimit(now sim.Time, dst netip.Addr) *peerLimit {
	v := s.ipv4()
	l := v.peers[dst]
	if l == nil {
		if v.peers == nil || len(v.peers) >= peersMax {
			v.peers = map[netip.Addr]*peerLimit{}
		}
		l = &peerLimit{filledAt: now, tokens: icmpBurst * s.sysctl.ICMPRateLimit}
		v.peers[dst] = l
	}
	return l
}

// icmpBurst is XRLIM_BURST_FACTOR.
const icmpBurst = 6

// icmpRefill is how long icmp_global_allow waits before it fills its bucket.
const icmpRefill = 20 * 1e6

// allowICMP is icmpv4_global_allow and icmpv4_xrlim_allow: the types of
// icmp_ratemask are limited, for all together and for each destination; nothing
// is over lo, and path MTU discovery never is.
func (s *Stack) allowICMP(now sim.Time, o *outgoing, h wire.ICMPHeader) bool {
	c := s.sysctl
	limited := h.Type < 32 && c.ICMPRateMask>>h.Type&1 == 1
	if !limited || h.Type == wire.ICMPUnreachable && h.Code == wire.ICMPFragmentationNeeded || o.iface.loopback {
		return true
	}
	v := s.ipv4()
	if since := min(now.Sub(v.filledAt), 1e9); since >= icmpRefill {
		v.tokens = min(v.tokens+int(since)*c.ICMPMsgsPerSec/1e9, c.ICMPMsgsBurst)
		v.filledAt = now
	}
	if v.tokens <= 0 {
		s.count(icmpOutRateLimit)
		return false
	}
	v.tokens--
	l := s.peerLimit(now, o.dst)
	l.tokens = min(l.tokens+now.Sub(l.filledAt), icmpBurst*c.ICMPRateLimit)
	l.filledAt = now
	if l.tokens < c.ICMPRateLimit {
		s.count(icmpOutRateLimitHost)
		return false
	}
	l.tokens -= c.ICMPRateLimit
	return true
}

func (s *Stack) countICMPOut(t wire.ICMPType) {
	s.count(icmpOutMsgs)
	switch t {
	case wire.ICMPUnreachable:
		s.count(icmpOutDestUnreachs)
	case wire.ICMPTimeExceeded:
		s.count(icmpOutTimeExcds)
	case wire.ICMPRedirect:
		s.count(icmpOutRedirects)
	case wire.ICMPEcho:
		s.count(icmpOutEchos)
	case wire.ICMPEchoReply:
		s.count(icmpOutEchoReps)
	}
}

// receiveICMPv4 is icmp_rcv. It owns the frame.
func (s *Stack) receiveICMPv4(now sim.Time, p *packet) {
	s.count(icmpInMsgs)
	m, err := wire.ParseICMP(p.upper())
	if err != nil {
		s.count(icmpInErrors)
		s.dropIn(now, p, wire.DropMalformed)
		return
	}
	if !p.frame.ChecksumsGood && !m.ChecksumOK() {
		s.count(icmpInCsumErrors)
		s.count(icmpInErrors)
		s.dropIn(now, p, wire.DropBadChecksum)
		return
	}
	if p.cast != toHost && (m.Type() != wire.ICMPEcho || s.sysctl.ICMPEchoIgnoreBroadcasts) {
		s.dropIn(now, p, wire.DropProhibited) // RFC 1122 3.2.2.6, 3.2.2.8
		return
	}
	switch m.Type() {
	case wire.ICMPEcho:
		s.count(icmpInEchos)
		if s.sysctl.ICMPEchoIgnoreAll {
			s.dropIn(now, p, wire.DropProhibited)
			return
		}
		s.echoReplyIPv4(now, p, m)
	case wire.ICMPEchoReply:
		s.count(icmpInEchoReps)
	case wire.ICMPUnreachable:
		s.count(icmpInDestUnreachs)
		s.receiveICMPv4Error(now, p, m)
	case wire.ICMPTimeExceeded:
		s.count(icmpInTimeExcds)
		s.receiveICMPv4Error(now, p, m)
	case wire.ICMPParamProblem:
		s.count(icmpInParmProbs)
		s.receiveICMPv4Error(now, p, m)
	case wire.ICMPRedirect:
		s.count(icmpInRedirects)
		s.receiveRedirect(now, p, m)
	}
	p.frame.Release()
}

// echoReplyIPv4 answers an echo request from the address it was sent to, or the
// interface's where that was a group.
func (s *Stack) echoReplyIPv4(now sim.Time, p *packet, m wire.ICMP) {
	o := outgoing{dst: p.src, protocol: wire.ProtocolICMP, tos: p.tos, discover: DiscoverDont}
	if p.cast == toHost {
		o.src = p.dst
	}
	if s.routeIPv4(now, &o) != nil {
		return
	}
	f := s.newFrame(len(m))
	f.SetBytes(wire.AppendICMP(f.Buffer(), wire.ICMPHeader{Type: wire.ICMPEchoReply, Rest: m.Rest()}, m.Payload()))
	s.countICMPOut(wire.ICMPEchoReply)
	s.sendIPv4(now, f, &o) // an echo reply that cannot be sent is lost
}

// unreachableErrors is icmp_err_convert: the error of each code, and whether it
// ends a connection.
var unreachableErrors = [...]struct {
	errno syscall.Errno
	fatal bool
}{
	wire.ICMPNetUnreachable:      {syscall.ENETUNREACH, false},
	wire.ICMPHostUnreachable:     {syscall.EHOSTUNREACH, false},
	wire.ICMPProtocolUnreachable: {syscall.ENOPROTOOPT, true},
	wire.ICMPPortUnreachable:     {syscall.ECONNREFUSED, true},
	wire.ICMPFragmentationNeeded: {syscall.EMSGSIZE, false},
	wire.ICMPSourceRouteFailed:   {syscall.EOPNOTSUPP, false},
	wire.ICMPNetUnknown:          {syscall.ENETUNREACH, true},
	wire.ICMPHostUnknown:         {syscall.EHOSTDOWN, true},
	wire.ICMPSourceIsolated:      {syscall.EHOSTUNREACH, true}, // ENONET in Linux; few other systems have that
	wire.ICMPNetProhibited:       {syscall.ENETUNREACH, true},
	wire.ICMPHostProhibited:      {syscall.EHOSTUNREACH, true},
	wire.ICMPNetTOS:              {syscall.ENETUNREACH, false},
	wire.ICMPHostTOS:             {syscall.EHOSTUNREACH, false},
	wire.ICMPAdminProhibited:     {syscall.EHOSTUNREACH, true},
	wire.ICMPPrecedenceViolation: {syscall.EHOSTUNREACH, true},
	wire.ICMPPrecedenceCutoff:    {syscall.EHOSTUNREACH, true},
}

// report is an ICMP error of either family that arrived, about a packet that this
// machine sent.
type report struct {
	message  ErrorMessage
	protocol wire.Protocol
	packet   packet // the quoted packet: addresses; frame is the ICMP message's
	quoted   []byte // the quoted upper layer
	fatal    bool   // ends a connection
	tooBig   bool   // only for sockets that discover the path MTU
}

// receiveICMPv4Error is icmp_unreach and icmp_socket_deliver.
func (s *Stack) receiveICMPv4Error(now sim.Time, p *packet, m wire.ICMP) {
	quoted, err := wire.ParseQuotedIPv4(m.Payload())
	if err != nil {
		s.count(icmpInErrors)
		return
	}
	r := report{
		protocol: quoted.Protocol(), quoted: quoted.Payload(), packet: packet{src: quoted.Src(), dst: quoted.Dst(), frame: p.frame, in: p.in},
		message: ErrorMessage{Errno: syscall.EHOSTUNREACH, Offender: p.src, Type: uint8(m.Type()), Code: m.Code(), At: now},
	}
	switch {
	case m.Type() == wire.ICMPParamProblem:
		r.message.Errno, r.fatal = syscall.EPROTO, true
		r.message.Info = int(m.Rest() >> 24) // the pointer
	case m.Type() == wire.ICMPUnreachable:
		if int(m.Code()) >= len(unreachableErrors) {
			return
		}
		e := unreachableErrors[m.Code()]
		r.message.Errno, r.fatal = e.errno, e.fatal
		if m.Code() == wire.ICMPFragmentationNeeded {
			if s.sysctl.IPNoPMTUDisc {
				return
			}
			r.message.Info, r.fatal, r.tooBig = m.MTU(), true, true
			if s.IsLocal(r.packet.src) {
				s.learnMTU(now, r.packet.dst, m.MTU(), s.sysctl.MinPMTU, s.sysctl.MTUExpires)
			}
		}
	}
	s.deliverError(now, &r)
}

// receiveRedirect is __ip_do_redirect: a host believes the router that it uses.
func (s *Stack) receiveRedirect(now sim.Time, p *packet, m wire.ICMP) {
	quoted, err := wire.ParseQuotedIPv4(m.Payload())
	if err != nil {
		s.count(icmpInErrors)
		return
	}
	gateway, dst := m.Gateway(), quoted.Dst()
	if !s.sysctl.AcceptRedirects || s.sysctl.IPForward || m.Code() > 3 ||
		gateway.IsMulticast() || gateway == limitedBroadcast || zeronet(gateway) || s.IsLocal(gateway) {
		return
	}
	o := outgoing{dst: dst}
	if !s.IsLocal(quoted.Src()) || s.routeIPv4(now, &o) != nil || o.iface != p.in || o.nextHop != p.src {
		return // not from the router that the packet went to
	}
	on := s.routes[0].lookup(gateway, p.in)
	if on == nil || on.Gateway.IsValid() || on.Type != RouteUnicast {
		return // not on the link
	}
	e := s.makePath(dst)
	e.gateway, e.gatewayTo = gateway, now.Add(redirectLifetime)
}

// deliverError hands the report to the sockets that may have sent the packet.
func (s *Stack) deliverError(now sim.Time, r *report) {
	if s.ports == nil {
		return
	}
	s.reportRaw(now, r)
	if l := s.tcpLayer(); r.protocol == wire.ProtocolTCP && l != nil {
		l.reportTCP(now, r)
		return
	}
	if r.protocol != wire.ProtocolUDP || len(r.quoted) < 4 {
		return
	}
	from := netip.AddrPortFrom(r.packet.src, binary.BigEndian.Uint16(r.quoted))
	to := netip.AddrPortFrom(r.packet.dst, binary.BigEndian.Uint16(r.quoted[2:]))
	// The socket that would receive the answer is the one that sent.
	if u := s.lookupUDP(r.packet.in, to, from); u != nil {
		r.message.To = to
		r.message.Payload = r.quoted[min(len(r.quoted), wire.UDPLen):]
		u.report(now, r)
	}
}

// report leaves an ICMP error with a socket: on its error queue if it asked for
// that, as the pending error if it is connected (udp_err, raw_err).
func (e *endpoint) report(now sim.Time, r *report) {
	connected := e.remote.Addr().IsValid()
	if r.tooBig && e.Options.MTUDiscover == DiscoverDont {
		return
	}
	if e.Options.RecvErr {
		m := r.message
		m.Payload = append([]byte(nil), m.Payload...)
		e.enqueueError(m)
	} else if !connected || !r.fatal {
		return
	}
	e.fail(now, r.message.Errno)
}
