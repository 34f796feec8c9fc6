package stack

import (
	"slices"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// AllTypes asks a packet socket for every frame, sent ones too (ETH_P_ALL).
const AllTypes wire.EtherType = 3

// Packet is the kernel's side of a packet socket (AF_PACKET, SOCK_RAW): whole
// Ethernet frames of one type, at one interface or at all.
type Packet struct {
	endpoint
	iface *Interface
	kind  wire.EtherType
}

// NewPacket opens a packet socket; i nil: all interfaces.
func (s *Stack) NewPacket(i *Interface, kind wire.EtherType) *Packet {
	p := &Packet{endpoint: endpoint{stack: s}, iface: i, kind: kind}
	all := s.sniff()
	all.packets = append(all.packets, p)
	return p
}

// Send sends a whole frame out of i; nil: the socket's interface. EINVAL for a
// frame without a header, EMSGSIZE for one beyond the MTU, ENETDOWN.
func (p *Packet) Send(now sim.Time, i *Interface, frame []byte) error {
	if i == nil {
		i = p.iface
	}
	switch {
	case i == nil:
		return syscall.ENXIO
	case len(frame) < wire.EthernetLen:
		return syscall.EINVAL
	case !i.up:
		return syscall.ENETDOWN
	case len(frame) > i.MTU()+wire.EthernetLen+wire.VLANLen:
		return syscall.EMSGSIZE
	}
	f := p.stack.newFrame(len(frame))
	f.ChecksumsGood = false // nobody knows
	f.SetBytes(append(f.Buffer(), frame...))
	i.sendFrame(now, f)
	return nil
}

// Close closes the socket.
func (p *Packet) Close() {
	if !p.closed {
		p.close()
		all := p.stack.sniff()
		all.packets = slices.DeleteFunc(all.packets, func(o *Packet) bool { return o == p })
	}
}

// tapPackets gives packet sockets their copies: of what comes in by type, of what
// goes out only to those that want all (dev_queue_xmit_nit).
func (s *Stack) tapPackets(now sim.Time, i *Interface, f *wire.Frame, kind wire.EtherType, sent bool) {
	for _, p := range s.ports.sniffers.packets {
		if p.iface != nil && p.iface != i || p.kind != AllTypes && (sent || p.kind != kind) {
			continue
		}
		c := f.Clone()
		if !p.accept(now, Datagram{Frame: c, Payload: c.Bytes(), Interface: i, At: now}) {
			c.Release() // a full packet socket misses a copy; no packet was dropped
		}
	}
}
