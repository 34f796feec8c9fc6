package stack

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// UDP is the kernel's side of a UDP socket.
type UDP struct{ endpoint }

// NewUDP opens a UDP socket of IPv4 or, with v6, of IPv6, which carries IPv4 too
// unless Options.V6Only is set.
func (s *Stack) NewUDP(v6 bool) *UDP { return &UDP{endpoint{stack: s, v6: v6}} }

// Bind gives the socket a local address, unset or unspecified for all, and a
// port, 0 for any free one. EADDRINUSE, EADDRNOTAVAIL, EINVAL where it is bound.
func (u *UDP) Bind(local netip.AddrPort) error {
	if u.local.Port() != 0 || u.closed {
		return syscall.EINVAL
	}
	addr, err := u.bindAddr(local.Addr())
	if err != nil {
		return err
	}
	port := local.Port()
	if port == 0 {
		if port, err = u.freePort(addr); err != nil {
			return err
		}
	} else if u.taken(addr, port) {
		return syscall.EADDRINUSE
	}
	u.local = netip.AddrPortFrom(addr, port)
	d := u.stack.demuxTable()
	_, place := d.udpPort(port)
	d.udp = slices.Insert(d.udp, place, boundUDP{port, u})
	return nil
}

// bindAddr checks a local address: the machine's own, a group or a broadcast
// address. The unspecified one becomes unset.
func (e *endpoint) bindAddr(a netip.Addr) (netip.Addr, error) {
	a = a.Unmap()
	if !a.IsValid() || a.IsUnspecified() {
		return netip.Addr{}, nil
	}
	if a.Is6() && !e.v6 {
		return a, syscall.EAFNOSUPPORT
	}
	zone := e.stack.zoneOf(a)
	if zone != nil {
		a = a.WithZone("")
		e.Options.Interface = zone
	}
	if a.Is4() && e.v6 && e.Options.V6Only {
		return a, syscall.EINVAL
	}
	if !a.IsMulticast() && a != limitedBroadcast && !e.stack.IsLocal(a) && e.stack.locals.lookup(a) == nil {
		return a, syscall.EADDRNOTAVAIL
	}
	return a, nil
}

// taken reports whether another socket has the port for an address that overlaps
// (udp_lib_lport_inuse): it does not count where both set SO_REUSEADDR or both
// SO_REUSEPORT, or are bound to different devices.
func (u *UDP) taken(a netip.Addr, port uint16) bool {
	if u.stack.ports == nil {
		return false
	}
	list, _ := u.stack.ports.udpPort(port)
	for _, b := range list {
		o := b.socket
		both := u.Options.ReuseAddr && o.Options.ReuseAddr || u.Options.ReusePort && o.Options.ReusePort
		apart := u.Options.Interface != nil && o.Options.Interface != nil && u.Options.Interface != o.Options.Interface
		if o != u && !both && !apart && u.overlaps(a, &o.endpoint) {
			return true
		}
	}
	return false
}

// overlaps reports whether e bound to a and o could receive the same datagram
// (inet_rcv_saddr_equal).
func (e *endpoint) overlaps(a netip.Addr, o *endpoint) bool {
	b := o.local.Addr()
	if a.IsValid() && b.IsValid() {
		return a == b
	}
	if !a.IsValid() && !b.IsValid() {
		return e.v6 == o.v6 || !(e.Options.V6Only || o.Options.V6Only)
	}
	return e.carries(a, b) && o.carries(b, a)
}

// carries reports whether a socket bound to own, or to all, may get packets to
// other: an IPv4 socket none of IPv6, a V6Only socket none of IPv4.
func (e *endpoint) carries(own, other netip.Addr) bool {
	switch {
	case !other.IsValid():
		return true
	case other.Is4():
		return !e.v6 || !e.Options.V6Only
	}
	return e.v6
}

// freePort draws a port from ip_local_port_range.
func (u *UDP) freePort(a netip.Addr) (uint16, error) {
	c := u.stack.sysctl
	size := c.LocalPortHigh - c.LocalPortLow + 1
	start := u.stack.rand().Intn(size)
	for k := range size {
		port := uint16(c.LocalPortLow + (start+k)%size)
		if !u.taken(a, port) {
			return port, nil
		}
	}
	return 0, syscall.EADDRINUSE
}

// Connect sets where Send sends and alone receives from; the zero AddrPort
// dissolves it. It fails as a route to remote does.
func (u *UDP) Connect(now sim.Time, remote netip.AddrPort) error {
	if !remote.IsValid() {
		u.remote = netip.AddrPort{}
		if u.autoAddr {
			u.local, u.autoAddr = netip.AddrPortFrom(netip.Addr{}, u.local.Port()), false
		}
		return nil
	}
	o, err := u.prepare(now, remote.Addr(), wire.ProtocolUDP)
	if err != nil {
		return err
	}
	if u.local.Port() == 0 {
		if err := u.Bind(netip.AddrPort{}); err != nil {
			return err
		}
	}
	if !u.local.Addr().IsValid() { // ip4_datagram_connect: the route's source is the socket's now
		u.local, u.autoAddr = netip.AddrPortFrom(o.src, u.local.Port()), true
	}
	u.remote = netip.AddrPortFrom(o.dst, remote.Port())
	if o.dst.IsLinkLocalUnicast() && o.dst.Is6() && !o.iface.loopback {
		u.remote = netip.AddrPortFrom(zoned(o.dst, o.iface), remote.Port())
	}
	return nil
}

// prepare routes a packet of the socket to an address.
func (e *endpoint) prepare(now sim.Time, to netip.Addr, protocol wire.Protocol) (outgoing, error) {
	to = to.Unmap()
	c := &e.Options
	o := outgoing{
		src: e.local.Addr(), dst: to, protocol: protocol, ttl: c.TTL, tos: c.TOS, discover: c.MTUDiscover,
		broadcast: c.Broadcast, noLoop: c.MulticastNoLoop, iface: c.Interface,
	}
	if o.src.IsValid() && (o.src.IsMulticast() || o.src.Is4() != to.Is4()) {
		o.src = netip.Addr{}
	}
	if o.src.IsValid() {
		if l := e.stack.locals.lookup(o.src); l != nil && l.broadcast {
			o.src = netip.Addr{}
		}
	}
	if to.Is6() && !e.v6 {
		return o, syscall.EAFNOSUPPORT
	}
	if to.Is4() && e.v6 && c.V6Only {
		return o, syscall.ENETUNREACH
	}
	if to.IsMulticast() {
		o.ttl = c.MulticastTTL
		if o.iface == nil {
			o.iface = c.MulticastInterface
		}
	}
	if to.Is4() && e.stack.sysctl.IPNoPMTUDisc && o.discover == DiscoverWant {
		o.discover = DiscoverDont
	}
	err := e.stack.route(now, &o)
	return o, err
}

// udpMax is the longest payload: 65,535 less the headers of IPv4 and UDP.
const udpMax = 65535 - wire.IPv4MinLen - wire.UDPLen

// Send sends a datagram, to the connected address where to is zero. Errors are
// Linux's: EDESTADDRREQ, EACCES for a broadcast without Options.Broadcast,
// EMSGSIZE, ENETUNREACH, and what an earlier datagram's ICMP error left.
func (u *UDP) Send(now sim.Time, b []byte, to netip.AddrPort) error {
	if u.closed {
		return syscall.EBADF
	}
	if err := u.Pending(); err != nil {
		return err
	}
	if !to.IsValid() {
		if to = u.remote; !to.IsValid() {
			return syscall.EDESTADDRREQ
		}
	}
	if to.Port() == 0 {
		return syscall.EINVAL
	}
	if len(b) > udpMax {
		return syscall.EMSGSIZE
	}
	if u.local.Port() == 0 {
		if err := u.Bind(netip.AddrPort{}); err != nil {
			return err
		}
	}
	o, err := u.prepare(now, to.Addr(), wire.ProtocolUDP)
	if err != nil {
		return err
	}
	s := u.stack
	f := s.newFrame(wire.UDPLen + len(b))
	h := wire.UDPHeader{Src: netip.AddrPortFrom(o.src, u.local.Port()), Dst: netip.AddrPortFrom(o.dst, to.Port())}
	f.SetBytes(wire.AppendUDP(f.Buffer(), h, b))
	if err := s.send(now, f, &o); err != nil {
		u.tooBig(now, err, h.Dst, &o)
		return err
	}
	s.count(udpOutDatagrams)
	return nil
}

// tooBig puts an error of this machine itself on the error queue, with the MTU
// (ip_local_error): tracepath starts with it.
func (e *endpoint) tooBig(now sim.Time, err error, to netip.AddrPort, o *outgoing) {
	if err == syscall.EMSGSIZE && e.Options.RecvErr {
		e.enqueueError(ErrorMessage{Errno: syscall.EMSGSIZE, Info: o.mtu, To: to, At: now})
		e.ready(now)
	}
}

// Close closes the socket.
func (u *UDP) Close() {
	if u.closed {
		return
	}
	u.close()
	if u.local.Port() != 0 {
		d := u.stack.ports
		d.udp = slices.DeleteFunc(d.udp, func(b boundUDP) bool { return b.socket == u })
	}
}

// receiveUDP is udp_rcv for both families. It owns the frame.
func (s *Stack) receiveUDP(now sim.Time, p *packet) {
	m, err := wire.ParseUDP(p.upper())
	if err != nil {
		s.count(udpInErrors)
		s.dropIn(now, p, wire.DropMalformed)
		return
	}
	if !p.frame.ChecksumsGood && !m.ChecksumOK(p.src, p.dst) {
		s.count(udpInCsumErrors)
		s.count(udpInErrors)
		s.dropIn(now, p, wire.DropBadChecksum)
		return
	}
	src, dst := netip.AddrPortFrom(p.src, m.SrcPort()), netip.AddrPortFrom(p.dst, m.DstPort())
	if p.cast != toHost {
		s.receiveGroup(now, p, m, src, dst)
		return
	}
	u := s.lookupUDP(p.in, src, dst)
	if u == nil {
		s.count(udpNoPorts)
		s.icmpError(now, p, problemPortUnreachable, 0)
		s.dropIn(now, p, wire.DropNoSocket)
		return
	}
	s.queueUDP(now, u, p.frame, p, m, src, dst)
}

// queueUDP gives the datagram, which lies in f, to a socket.
func (s *Stack) queueUDP(now sim.Time, u *UDP, f *wire.Frame, p *packet, m wire.UDP, src, dst netip.AddrPort) {
	offset := p.payload + wire.UDPLen
	d := Datagram{
		Frame: f, Payload: f.Bytes()[offset : offset+len(m.Payload())], Interface: p.in, TTL: p.ttl, TOS: p.tos, At: now,
		Src: netip.AddrPortFrom(zoned(src.Addr(), p.in), src.Port()), Dst: dst,
	}
	if u.v6 {
		d.Src, d.Dst = mapped(d.Src), mapped(d.Dst)
	}
	if !u.accept(now, d) {
		s.count(udpRcvbufErrors)
		s.count(udpInErrors)
		s.drop(now, p.in, f, wire.DropSocketBufferFull)
		return
	}
	s.count(udpInDatagrams)
}

// mapped is the form in which a socket of IPv6 sees an IPv4 address (RFC 3493 3.7).
func mapped(a netip.AddrPort) netip.AddrPort {
	if a.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
	}
	return a
}

// receiveGroup is __udp4_lib_mcast_deliver: every socket that matches gets a copy.
// As in Linux (IP_MULTICAST_ALL) a socket need not have joined the group itself.
func (s *Stack) receiveGroup(now sim.Time, p *packet, m wire.UDP, src, dst netip.AddrPort) {
	delivered := false
	if s.ports != nil {
		list, _ := s.ports.udpPort(dst.Port())
		list = slices.Clone(list) // who is woken may bind another socket
		for k := len(list) - 1; k >= 0; k-- {
			if list[k].socket.score(p.in, src, dst) >= 0 {
				s.queueUDP(now, list[k].socket, p.frame.Clone(), p, m, src, dst)
				delivered = true
			}
		}
	}
	if delivered {
		p.frame.Release()
		return
	}
	s.count(udpNoPorts)
	s.dropIn(now, p, wire.DropNoSocket)
}

// lookupUDP is __udp4_lib_lookup: the socket that matches best; of equals the one
// bound last, or among those that share the port one by the hash of the flow.
func (s *Stack) lookupUDP(in *Interface, src, dst netip.AddrPort) *UDP {
	if s.ports == nil {
		return nil
	}
	var best *UDP
	most, equals := -1, 0
	list, _ := s.ports.udpPort(dst.Port())
	for _, b := range list {
		u := b.socket
		switch score := u.score(in, src, dst); {
		case score > most:
			best, most, equals = u, score, 1
		case score == most && score >= 0 && best.Options.ReusePort && u.Options.ReusePort:
			equals++
		}
	}
	if equals < 2 || best.remote.IsValid() {
		return best
	}
	nth := int(flowHash(src, dst) % uint32(equals))
	for _, b := range list {
		u := b.socket
		if u.Options.ReusePort && u.score(in, src, dst) == most {
			if nth == 0 {
				return u
			}
			nth--
		}
	}
	return best
}

// score is compute_score: -1 for no match. A socket bound to the address beats
// any that is bound to all, which Linux looks for only afterwards.
func (u *UDP) score(in *Interface, src, dst netip.AddrPort) int {
	if !u.carries(u.local.Addr(), dst.Addr()) {
		return -1
	}
	score := 1
	if u.v6 == dst.Addr().Is6() {
		score++
	}
	if u.local.Addr().IsValid() {
		if u.local.Addr() != dst.Addr() {
			return -1
		}
		score += 16
	}
	if u.remote.IsValid() {
		if u.remote.Port() != src.Port() || u.remote.Addr().WithZone("") != src.Addr() {
			return -1
		}
		score += 4
	}
	if u.Options.Interface != nil {
		if u.Options.Interface != in {
			return -1
		}
		score += 4
	}
	return score
}

// flowHash is FNV-1a over both ends of a flow.
func flowHash(src, dst netip.AddrPort) uint32 {
	hash := uint32(2166136261)
	a, b := src.Addr().As16(), dst.Addr().As16()
	var ports [4]byte
	binary.BigEndian.PutUint16(ports[:], src.Port())
	binary.BigEndian.PutUint16(ports[2:], dst.Port())
	for _, part := range [...][]byte{a[:], b[:], ports[:]} {
		for _, c := range part {
			hash = (hash ^ uint32(c)) * 16777619
		}
	}
	return hash
}
