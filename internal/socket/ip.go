package socket

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/wire"
)

// IPConn is a raw IP socket: it reads a copy of every packet of its protocol,
// without the IP header, and sends that protocol's packets.
type IPConn struct {
	*datagrams
	raw *stack.Raw
}

// IPInfo is what the IP header said of a packet that was read.
type IPInfo struct {
	Src, Dst  netip.Addr
	TTL, TOS  int
	Interface string
}

// IPOptions are settings of one packet; zero values leave the socket's.
type IPOptions struct {
	TTL, TOS     int
	DontFragment stack.MTUDiscover
	Src          netip.Addr
}

var ipProtocols = map[string]wire.Protocol{
	"icmp": wire.ProtocolICMP, "igmp": wire.ProtocolIGMP, "tcp": wire.ProtocolTCP, "udp": wire.ProtocolUDP, "ipv6-icmp": wire.ProtocolICMPv6,
}

// ListenIP opens a raw IP socket. network is "ip4:" or "ip6:" and a protocol, by
// name or number, as for net.ListenIP; local may be unset for all addresses.
func (n *Net) ListenIP(network string, local netip.Addr) (*IPConn, error) {
	family, name, _ := strings.Cut(network, ":")
	protocol, known := ipProtocols[name]
	if number, err := strconv.ParseUint(name, 10, 8); err == nil {
		protocol, known = wire.Protocol(number), true
	}
	if !known || family != "ip4" && family != "ip6" {
		return nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	}
	c := &IPConn{datagrams: newDatagrams(n, network)}
	err := c.opening(func(sim.Time) error {
		c.raw = n.host.Stack().NewRaw(family == "ip6", protocol)
		c.start(c.raw, &c.raw.Options, &c.raw.OnReady)
		if local.IsValid() && !local.IsUnspecified() {
			return sysError("bind", c.raw.Bind(local))
		}
		return nil
	})
	if err != nil {
		c.abandon()
		return nil, &net.OpError{Op: "listen", Net: network, Addr: c.addr(netip.AddrPortFrom(local, 0)), Err: err}
	}
	return c, nil
}

// ReadMsg waits for a packet. What does not fit b is lost.
func (c *IPConn) ReadMsg(b []byte) (n int, info IPInfo, err error) {
	err = c.receive("recvmsg", func(d *stack.Datagram) {
		n = copy(b, d.Payload)
		info = IPInfo{Src: d.Src.Addr(), Dst: d.Dst.Addr(), TTL: int(d.TTL), TOS: int(d.TOS)}
		if d.Interface != nil {
			info.Interface = d.Interface.Name()
		}
	})
	return n, info, err
}

// WriteMsg sends a packet of the socket's protocol.
func (c *IPConn) WriteMsg(b []byte, dst netip.Addr, o IPOptions) error {
	opts := stack.RawOptions{TTL: uint8(o.TTL), TOS: uint8(o.TOS), MTUDiscover: o.DontFragment, Src: o.Src}
	return c.send("sendmsg", c.addr(netip.AddrPortFrom(dst, 0)), func(now sim.Time) error { return c.raw.Send(now, b, dst, opts) })
}
