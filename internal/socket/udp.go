package socket

import (
	"net"
	"net/netip"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
)

// UDPConn is a UDP socket. Connected, it is a net.Conn; in any case it is a
// net.PacketConn.
type UDPConn struct {
	*datagrams
	udp *stack.UDP
}

var (
	_ net.Conn       = (*UDPConn)(nil)
	_ net.PacketConn = (*UDPConn)(nil)
)

// ListenUDP opens a UDP socket that is bound to local: an unset address stands
// for all, port 0 for a free one. Errors are Linux's, in a *net.OpError.
func (n *Net) ListenUDP(network string, local netip.AddrPort) (*UDPConn, error) {
	return n.openUDP("listen", network, local, netip.AddrPort{})
}

// DialUDP opens a UDP socket that is connected to remote.
func (n *Net) DialUDP(network string, local, remote netip.AddrPort) (*UDPConn, error) {
	return n.openUDP("dial", network, local, remote)
}

func (n *Net) openUDP(op, network string, local, remote netip.AddrPort) (*UDPConn, error) {
	c := &UDPConn{datagrams: newDatagrams(n, network)}
	family := local.Addr()
	if remote.IsValid() {
		family = remote.Addr()
	}
	err := c.opening(func(now sim.Time) error {
		c.udp = n.host.Stack().NewUDP(isV6(network, family))
		c.start(c.udp, &c.udp.Options, &c.udp.OnReady)
		c.options.V6Only = network == "udp6"
		if err := c.udp.Bind(local); err != nil {
			return sysError("bind", err)
		}
		if remote.IsValid() {
			return sysError("connect", c.udp.Connect(now, remote))
		}
		return nil
	})
	if err != nil {
		c.abandon()
		to := local
		if remote.IsValid() {
			to = remote
		}
		return nil, &net.OpError{Op: op, Net: network, Addr: net.UDPAddrFromAddrPort(to), Err: err}
	}
	return c, nil
}

// ReadFromAddrPort waits for a datagram. What does not fit b is lost, as in Linux.
func (c *UDPConn) ReadFromAddrPort(b []byte) (n int, from netip.AddrPort, err error) {
	err = c.receive("recvfrom", func(d *stack.Datagram) {
		n, from = copy(b, d.Payload), d.Src
	})
	return n, from, err
}

// ReadFrom is net.PacketConn's.
func (c *UDPConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// Read is net.Conn's.
func (c *UDPConn) Read(b []byte) (int, error) {
	n, _, err := c.ReadFromAddrPort(b)
	return n, err
}

// WriteToAddrPort sends a datagram. An error that an earlier datagram caused, a
// port unreachable say, is returned first, and once.
func (c *UDPConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	var addr net.Addr
	if to.IsValid() {
		addr = net.UDPAddrFromAddrPort(to)
	}
	if err := c.send("sendto", addr, func(now sim.Time) error { return c.udp.Send(now, b, to) }); err != nil {
		return 0, err
	}
	return len(b), nil
}

// WriteTo is net.PacketConn's.
func (c *UDPConn) WriteTo(b []byte, to net.Addr) (int, error) {
	u, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, c.fail("write", to, &net.AddrError{Err: "not a UDP address", Addr: to.String()})
	}
	return c.WriteToAddrPort(b, unmap(u.AddrPort()))
}

// Write is net.Conn's.
func (c *UDPConn) Write(b []byte) (int, error) { return c.WriteToAddrPort(b, netip.AddrPort{}) }

// unmap makes an IPv4 address of the 4-in-6 form that package net's addresses
// often have.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
