package stack

import (
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// ipv4State is what a machine keeps for IPv4 besides addresses, routes and
// neighbours; made when first needed.
type ipv4State struct{}

// Input takes a frame that arrived at an interface, and owns it.
func (s *Stack) Input(now sim.Time, i *Interface, f *wire.Frame) { f.Release() }

// sendFrame sends a whole frame out of i.
func (i *Interface) sendFrame(now sim.Time, f *wire.Frame) { i.out.Send(now, f) }

func (s *Stack) routeIPv4(now sim.Time, o *outgoing) error { return syscall.ENOSYS }

func (s *Stack) sendIPv4(now sim.Time, f *wire.Frame, o *outgoing) error { return syscall.ENOSYS }

func (s *Stack) icmpv4Error(now sim.Time, p *packet, why problem, mtu int) {}

// deliver hands a whole packet of either family, addressed to this machine, to
// raw sockets and the upper layer. It owns the frame.
func (s *Stack) deliver(now sim.Time, p *packet) { s.drop(now, p.in, p.frame, wire.DropUnknownType) }

// packetOf describes the IP packet in f, which begins at its IP header, as one
// that i could not send.
func (s *Stack) packetOf(i *Interface, f *wire.Frame) (packet, bool) { return packet{}, false }

// report is an ICMP error of either family that arrived, about a packet that this
// machine sent.
type report struct {
	message  ErrorMessage
	protocol wire.Protocol
	packet   packet // the quoted packet: addresses; frame is the ICMP message's
	quoted   []byte // the quoted upper layer
	fatal    bool   // ends a connection
}

// deliverError hands the report to the socket that sent the packet.
func (s *Stack) deliverError(now sim.Time, r *report) {}
