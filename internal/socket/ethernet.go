package socket

import (
	"net"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/wire"
)

// EthernetConn is a packet socket (AF_PACKET): it reads and writes whole Ethernet
// frames at one interface.
type EthernetConn struct {
	*datagrams
	packet *stack.Packet
}

// ListenEthernet opens a packet socket for frames of one type at an interface;
// stack.AllTypes for all of them.
func (n *Net) ListenEthernet(iface string, t wire.EtherType) (*EthernetConn, error) {
	c := &EthernetConn{datagrams: newDatagrams(n, "packet")}
	err := c.opening(func(sim.Time) error {
		i := n.host.Stack().Interface(iface)
		if i == nil {
			return sysError("bind", syscall.ENODEV)
		}
		c.packet = n.host.Stack().NewPacket(i, t)
		c.start(c.packet, &c.packet.Options, &c.packet.OnReady)
		return nil
	})
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "packet", Err: err}
	}
	return c, nil
}

// ReadFrame waits for a frame. What does not fit b is lost.
func (c *EthernetConn) ReadFrame(b []byte) (n int, err error) {
	err = c.receive("recvfrom", func(d *stack.Datagram) { n = copy(b, d.Payload) })
	return n, err
}

// WriteFrame sends a whole frame, Ethernet header included.
func (c *EthernetConn) WriteFrame(b []byte) error {
	return c.send("sendto", nil, func(now sim.Time) error { return c.packet.Send(now, nil, b) })
}
