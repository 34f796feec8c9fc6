package stack

import (
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
	d := s.demuxTable()
	d.packets = append(d.packets, p)
	return p
}

// Send sends a whole frame out of i; nil: the socket's interface.
func (p *Packet) Send(now sim.Time, i *Interface, frame []byte) error { return syscall.ENOSYS }

// Close closes the socket.
func (p *Packet) Close() { p.close() }
