package node

import (
	"net/netip"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
)

// The ports of the small services (RFC 862, RFC 863).
const (
	EchoPort    = 7
	DiscardPort = 9
)

// Responder is a UDP service that needs no program: it answers in the kernel, so
// that generated traffic costs no goroutine.
type Responder struct {
	udp  *stack.UDP
	echo bool
}

// StartEcho has the host send back every datagram that comes to port (RFC 862),
// over IPv4 and IPv6. It fails with EADDRINUSE where the port is taken.
func StartEcho(s *stack.Stack, port uint16) (*Responder, error) { return respond(s, port, true) }

// StartDiscard has the host take and forget every datagram that comes to port
// (RFC 863).
func StartDiscard(s *stack.Stack, port uint16) (*Responder, error) { return respond(s, port, false) }

func respond(s *stack.Stack, port uint16, echo bool) (*Responder, error) {
	r := &Responder{udp: s.NewUDP(true), echo: echo}
	if err := r.udp.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), port)); err != nil {
		r.udp.Close()
		return nil, err
	}
	r.udp.OnReady = r.ready
	return r, nil
}

// Close ends the service. Kernel only.
func (r *Responder) Close() { r.udp.Close() }

func (r *Responder) ready(now sim.Time) {
	_ = r.udp.Pending() // an error about an answer; nobody here to tell
	for {
		d, ok := r.udp.Receive()
		if !ok {
			return
		}
		// An answer to a small service's port could go to and fro for ever.
		if port := d.Src.Port(); r.echo && port != EchoPort && port != 0 {
			// As for any datagram, an answer that cannot be sent is lost.
			_ = r.udp.Send(now, d.Payload, d.Src)
		}
		d.Release()
	}
}
