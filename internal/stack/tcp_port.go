package stack

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
)

// claim is how a socket holds its port.
type claim uint8

const (
	claimNone    claim = iota
	claimBind          // by bind or listen
	claimConnect       // the port was chosen for a connection
	claimChild         // by having been accepted
)

// portUse is who uses a port (Linux's inet_bind_bucket).
type portUse struct {
	owners    []*TCP // those that were bound
	children  int
	connected int
	stubborn  int // of children and connected: without SO_REUSEADDR
}

// hold notes that a socket uses its port.
func (l *tcpLayer) hold(t *TCP, how claim) {
	use := l.ports[t.local.Port()]
	if use == nil {
		use = &portUse{}
		l.ports[t.local.Port()] = use
	}
	t.claim = how
	switch how {
	case claimBind:
		use.owners = append(use.owners, t)
		return
	case claimChild:
		use.children++
	default:
		use.connected++
	}
	if !t.Options.ReuseAddr {
		use.stubborn++
	}
}

// drop lets the socket's port go.
func (l *tcpLayer) drop(t *TCP) {
	use := l.ports[t.local.Port()]
	if use == nil || t.claim == claimNone {
		return
	}
	switch t.claim {
	case claimBind:
		use.owners = slices.DeleteFunc(use.owners, func(o *TCP) bool { return o == t })
	case claimChild:
		use.children--
	default:
		use.connected--
	}
	if t.claim != claimBind && !t.Options.ReuseAddr {
		use.stubborn--
	}
	t.claim = claimNone
	if len(use.owners) == 0 && use.children == 0 && use.connected == 0 {
		delete(l.ports, t.local.Port())
	}
}

// Bind gives the socket a local address, unset or unspecified for all, and a
// port, 0 for any free one. EADDRINUSE, EADDRNOTAVAIL, EINVAL where it is bound.
func (t *TCP) Bind(local netip.AddrPort) error {
	if t.local.Port() != 0 || t.closed {
		return syscall.EINVAL
	}
	addr, err := t.bindAddr(local.Addr())
	if err != nil {
		return err
	}
	if addr.IsValid() && (addr.IsMulticast() || addr == limitedBroadcast) {
		return syscall.EADDRNOTAVAIL
	}
	layer := t.stack.tcp()
	port := local.Port()
	if port == 0 {
		if port = layer.bindPort(); port == 0 {
			return syscall.EADDRINUSE
		}
	} else if layer.taken(t, addr, port) {
		return syscall.EADDRINUSE
	}
	t.local = netip.AddrPortFrom(addr, port)
	layer.hold(t, claimBind)
	return nil
}

// taken reports whether t may not bind to a port (inet_csk_bind_conflict): another
// socket has it for an address that overlaps, unless both allow that with
// SO_REUSEADDR and the other does not listen, or both with SO_REUSEPORT.
func (l *tcpLayer) taken(t *TCP, addr netip.Addr, port uint16) bool {
	use := l.ports[port]
	if use == nil {
		return false
	}
	if use.stubborn > 0 || use.children+use.connected > 0 && !t.Options.ReuseAddr {
		return true
	}
	for _, o := range use.owners {
		reuse := t.Options.ReuseAddr && o.Options.ReuseAddr && o.listener == nil || t.Options.ReusePort && o.Options.ReusePort
		apart := t.Options.Interface != nil && o.Options.Interface != nil && t.Options.Interface != o.Options.Interface
		if o != t && !reuse && !apart && t.overlaps(addr, &o.endpoint) {
			return true
		}
	}
	return false
}

// listens reports whether another socket listens where t wants to.
func (l *tcpLayer) listens(t *TCP) bool {
	for _, o := range l.ports[t.local.Port()].owners {
		if o != t && o.listener != nil && !(t.Options.ReusePort && o.Options.ReusePort) && t.overlaps(t.local.Addr(), &o.endpoint) {
			return true
		}
	}
	return false
}

// bindPort draws a port of ip_local_port_range, 0 where none is free. As in Linux
// odd ones are preferred, which leaves the even ones to connect.
func (l *tcpLayer) bindPort() uint16 {
	c := l.stack.sysctl
	size := c.LocalPortHigh - c.LocalPortLow + 1
	start := l.stack.rand().Intn(size)
	for _, parity := range [2]int{1, 0} {
		for k := range size {
			port := c.LocalPortLow + (start+k)%size
			if port&1 == parity && l.ports[uint16(port)] == nil {
				return uint16(port)
			}
		}
	}
	return 0
}

// connectPort chooses the port of an outgoing connection (RFC 6056 3.3.4 as in
// __inet_hash_connect): a hash of the ends says where to look first, even ports
// before odd. EADDRNOTAVAIL where none is free.
func (l *tcpLayer) connectPort(now sim.Time, src netip.Addr, to netip.AddrPort) (netip.AddrPort, error) {
	c := l.stack.sysctl
	size := uint64(c.LocalPortHigh-c.LocalPortLow+1) &^ 1
	if size == 0 {
		return netip.AddrPort{}, syscall.EADDRNOTAVAIL
	}
	offset := (l.machine.PortHash(src, to) + l.perturbed) % size &^ 1
	for _, parity := range [2]uint64{0, 1} {
		for k := uint64(0); k < size; k += 2 {
			port := uint16(uint64(c.LocalPortLow) + (offset+k)%size + parity)
			use := l.ports[port]
			if use != nil && (len(use.owners) > 0 || use.children > 0) {
				continue
			}
			local := netip.AddrPortFrom(src, port)
			if other := l.find(local, to); other != nil && !l.giveUp(now, other) {
				continue
			}
			l.perturbed += k + 2
			return local, nil
		}
	}
	return netip.AddrPort{}, syscall.EADDRNOTAVAIL
}

// giveUp ends a connection in TIME-WAIT for a new one with the same ends, where
// tcp_tw_reuse allows it: timestamps tell old segments from new (RFC 6191).
func (l *tcpLayer) giveUp(now sim.Time, t *TCP) bool {
	reuse := l.stack.sysctl.TCP.TwReuse
	if reuse == 0 || reuse == 2 && !isLoopback(t.local.Addr()) || !t.conn.Reusable(now) {
		return false
	}
	t.conn.Abort(now)
	return true
}

// find is the connection between two ends, or nil.
func (l *tcpLayer) find(local, remote netip.AddrPort) *TCP {
	if local.Addr().Is4() {
		return l.ipv4[keyIPv4(local, remote)]
	}
	return l.ipv6[keyIPv6(local, remote)]
}

func keyIPv4(local, remote netip.AddrPort) flowIPv4 {
	a, b := local.Addr().As4(), remote.Addr().As4()
	return flowIPv4{binary.BigEndian.Uint32(a[:]), binary.BigEndian.Uint32(b[:]), uint32(local.Port())<<16 | uint32(remote.Port())}
}

func keyIPv6(local, remote netip.AddrPort) flowIPv6 {
	return flowIPv6{local.Addr().As16(), remote.Addr().As16(), uint32(local.Port())<<16 | uint32(remote.Port())}
}

func (l *tcpLayer) insert(t *TCP) {
	if t.local.Addr().Is4() {
		l.ipv4[keyIPv4(t.local, t.remote)] = t
		return
	}
	if l.ipv6 == nil {
		l.ipv6 = map[flowIPv6]*TCP{}
	}
	l.ipv6[keyIPv6(t.local, t.remote)] = t
}

func (l *tcpLayer) remove(t *TCP) {
	if l.find(t.local, t.remote) != t {
		return
	}
	if t.local.Addr().Is4() {
		delete(l.ipv4, keyIPv4(t.local, t.remote))
		return
	}
	delete(l.ipv6, keyIPv6(t.local, t.remote))
}

// listenerFor is the socket that listens for a local end: one bound to the very
// address before one bound to all, one bound to the interface before one that is not
// (compute_score).
func (l *tcpLayer) listenerFor(in *Interface, local netip.AddrPort) *TCP {
	use := l.ports[local.Port()]
	if use == nil {
		return nil
	}
	var best *TCP
	most := -1
	for _, t := range use.owners {
		if t.listener == nil || !t.carries(t.local.Addr(), local.Addr()) ||
			t.local.Addr().IsValid() && t.local.Addr() != local.Addr() ||
			t.Options.Interface != nil && t.Options.Interface != in {
			continue
		}
		score := 0
		if t.local.Addr().IsValid() {
			score += 4
		}
		if t.Options.Interface != nil {
			score += 2
		}
		if t.v6 == local.Addr().Is6() {
			score++
		}
		if score > most {
			best, most = t, score
		}
	}
	return best
}
