package stack

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Raw is the kernel's side of a raw IP socket: it receives a copy of every packet
// of a protocol, without its IP header, and sends that protocol's packets; the IP
// header is the kernel's. The kernel still answers what it answers, echoes too.
type Raw struct {
	endpoint
	protocol wire.Protocol
}

// RawOptions are settings of one send; zero fields leave the socket's.
type RawOptions struct {
	TTL, TOS    uint8
	MTUDiscover MTUDiscover
	Src         netip.Addr
	Interface   *Interface
}

// NewRaw opens a raw socket of IPv4 or, with v6, IPv6.
func (s *Stack) NewRaw(v6 bool, protocol wire.Protocol) *Raw {
	r := &Raw{endpoint{stack: s, v6: v6}, protocol}
	all := s.sniff()
	all.raw = append(all.raw, r)
	return r
}

// Bind has the socket receive only what is sent to one local address, and send
// from it. EADDRNOTAVAIL where the machine does not have it.
func (r *Raw) Bind(local netip.Addr) error {
	a, err := r.bindAddr(local)
	if err == nil {
		r.local = netip.AddrPortFrom(a, 0)
	}
	return err
}

// Connect has the socket receive only from one address; the zero Addr dissolves
// it. It fails as a route to remote does.
func (r *Raw) Connect(now sim.Time, remote netip.Addr) error {
	if !remote.IsValid() {
		r.remote = netip.AddrPort{}
		return nil
	}
	o, err := r.prepare(now, remote, r.protocol)
	if err != nil {
		return err
	}
	if !r.local.Addr().IsValid() {
		r.local = netip.AddrPortFrom(o.src, 0)
	}
	r.remote = netip.AddrPortFrom(o.dst, 0)
	return nil
}

// Send sends the protocol's packet b, to the connected address where to is unset.
// The ICMPv6 checksum is filled in, as in Linux; every other one is the caller's.
func (r *Raw) Send(now sim.Time, b []byte, to netip.Addr, opts RawOptions) error {
	if r.closed {
		return syscall.EBADF
	}
	if err := r.Pending(); err != nil {
		return err
	}
	if !to.IsValid() {
		if to = r.remote.Addr(); !to.IsValid() {
			return syscall.EDESTADDRREQ
		}
	}
	if to.Unmap().Is4() == r.v6 {
		return syscall.EAFNOSUPPORT
	}
	o, err := r.prepareOnce(now, to, &opts)
	if err != nil {
		return err
	}
	s := r.stack
	f := s.newFrame(len(b))
	f.ChecksumsGood = false // nobody knows
	f.SetBytes(append(f.Buffer(), b...))
	if m := f.Bytes(); r.protocol == wire.ProtocolICMPv6 && len(m) >= 4 {
		m[2], m[3] = 0, 0
		binary.BigEndian.PutUint16(m[2:], wire.PseudoHeader(o.src, o.dst, wire.ProtocolICMPv6, len(m)).Add(m).Checksum())
	}
	err = s.send(now, f, &o)
	r.tooBig(now, err, netip.AddrPortFrom(o.dst, 0), &o)
	return err
}

// prepareOnce routes a packet with the settings of one send.
func (r *Raw) prepareOnce(now sim.Time, to netip.Addr, opts *RawOptions) (outgoing, error) {
	options, local := r.Options, r.local
	defer func() { r.Options, r.local = options, local }()
	if opts.Src.IsValid() {
		r.local = netip.AddrPortFrom(opts.Src, 0)
	}
	if opts.MTUDiscover != DiscoverWant {
		r.Options.MTUDiscover = opts.MTUDiscover
	}
	if opts.Interface != nil {
		r.Options.Interface = opts.Interface
	}
	o, err := r.prepare(now, to, r.protocol)
	if opts.TTL != 0 {
		o.ttl = opts.TTL
	}
	if opts.TOS != 0 {
		o.tos = opts.TOS
	}
	return o, err
}

// Close closes the socket.
func (r *Raw) Close() {
	if !r.closed {
		r.close()
		all := r.stack.sniff()
		all.raw = slices.DeleteFunc(all.raw, func(o *Raw) bool { return o == r })
	}
}

// matches reports whether a packet of the protocol from remote to local is the
// socket's (raw_v4_match).
func (r *Raw) matches(protocol wire.Protocol, in *Interface, remote, local netip.Addr) bool {
	return r.protocol == protocol && r.v6 == local.Is6() &&
		(!r.local.Addr().IsValid() || r.local.Addr() == local) &&
		(!r.remote.IsValid() || r.remote.Addr() == remote) &&
		(r.Options.Interface == nil || r.Options.Interface == in)
}

// deliverRaw gives raw sockets their copies and reports whether there was one
// that wanted it.
func (s *Stack) deliverRaw(now sim.Time, p *packet) bool {
	if s.ports == nil || s.ports.sniffers == nil {
		return false
	}
	delivered := false
	for _, r := range s.ports.sniffers.raw {
		if !r.matches(p.protocol, p.in, p.src, p.dst) {
			continue
		}
		delivered = true
		c := p.frame.Clone()
		if !r.accept(now, Datagram{
			Frame: c, Payload: c.Bytes()[p.payload:p.end], Interface: p.in, TTL: p.ttl, TOS: p.tos, At: now,
			Src: netip.AddrPortFrom(zoned(p.src, p.in), 0), Dst: netip.AddrPortFrom(p.dst, 0),
		}) {
			s.drop(now, p.in, c, wire.DropSocketBufferFull)
		}
	}
	return delivered
}

// reportRaw hands an ICMP error to the raw sockets of the packet's protocol.
func (s *Stack) reportRaw(now sim.Time, r *report) {
	if s.ports.sniffers == nil {
		return
	}
	for _, e := range s.ports.sniffers.raw {
		if e.matches(r.protocol, r.packet.in, r.packet.dst, r.packet.src) {
			r.message.To, r.message.Payload = netip.AddrPortFrom(r.packet.dst, 0), r.quoted
			e.report(now, r)
		}
	}
}

// Inject has the interface receive an IP packet as if it came from its link: for
// judges that write packets by hand.
func (i *Interface) Inject(now sim.Time, ipPacket []byte) {
	s := i.stack
	t := wire.TypeIPv4
	if len(ipPacket) > 0 && ipPacket[0]>>4 == 6 {
		t = wire.TypeIPv6
	}
	f := s.newFrame(wire.EthernetLen + len(ipPacket))
	f.ChecksumsGood = false
	b := wire.AppendEthernet(f.Buffer(), wire.EthernetHeader{Dst: i.mac, Type: t})
	f.SetBytes(append(b, ipPacket...))
	s.Input(now, i, f)
}
