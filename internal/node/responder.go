package node

import (
	"net/netip"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
)

// The ports of the small services (RFC 862, RFC 863).
const (
	echoPort    = 7
	discardPort = 9
)

// responder is a UDP service that needs no program: it answers in the kernel, so
// that generated traffic costs no goroutine.
type responder struct {
	udp  *stack.UDP
	echo bool
}

// StartService starts a service by name: echo sends back every datagram that
// comes to its port (RFC 862), discard takes and forgets it (RFC 863). Port 0
// stands for the service's own. It fails with EADDRINUSE where the port is taken.
// Kernel only.
func StartService(h *Host, name string, port uint16) error {
	r := &responder{udp: h.stack.NewUDP(true), echo: name == "echo"}
	if port == 0 {
		port = discardPort
		if r.echo {
			port = echoPort
		}
	}
	if err := r.udp.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), port)); err != nil {
		r.udp.Close()
		return err
	}
	r.udp.OnReady = r.ready
	return nil
}

func (r *responder) ready(now sim.Time) {
	_ = r.udp.Pending() // an error about an answer; nobody here to tell
	for {
		d, ok := r.udp.Receive()
		if !ok {
			return
		}
		// An answer to a small service's port could go to and fro for ever.
		if port := d.Src.Port(); r.echo && port != echoPort && port != 0 {
			// As for any datagram, an answer that cannot be sent is lost.
			_ = r.udp.Send(now, d.Payload, d.Src)
		}
		d.Release()
	}
}
