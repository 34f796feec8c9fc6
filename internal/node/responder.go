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

// responder is a service that needs no program: it answers in the kernel, so
// that generated traffic costs no goroutine.
type responder struct {
	udp  *stack.UDP
	echo bool
}

// backlog is how many connections may wait for a responder, which takes them at
// once.
const backlog = 128

// StartService starts a service by name, over UDP and TCP: echo sends back all
// that comes to its port (RFC 862), discard takes and forgets it (RFC 863). Port 0
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
	h.stack.WhenTCP(r)
	return nil
}

// StartTCP serves the same port of TCP. Nobody else can have taken it before.
func (r *responder) StartTCP(s *stack.Stack) {
	l := s.NewTCP(true)
	l.Options.ReuseAddr = true
	if l.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), r.udp.Local().Port())) == nil && l.Listen(backlog) == nil {
		l.OnReady = func(now sim.Time) { r.accept(now, l) }
	}
}

// accept takes connections.
func (r *responder) accept(now sim.Time, l *stack.TCP) {
	for {
		t, err := l.Accept()
		if err != nil {
			return
		}
		c := &responderConn{tcp: t, echo: r.echo}
		t.OnReady = c.ready
		if !r.echo {
			t.Drain(now)
		}
		c.ready(now)
	}
}

// responderConn is one connection to a service.
type responderConn struct {
	tcp  *stack.TCP
	echo bool
	held []byte // read and not yet sent back: the peer does not read
}

// chunk is how much is read at a time.
var chunk [16 << 10]byte

// ready serves what came, and closes when the peer has.
func (c *responderConn) ready(now sim.Time) {
	conn := c.tcp.Conn()
	for c.echo {
		if len(c.held) > 0 {
			n, err := c.tcp.Write(now, c.held, false)
			if c.held = c.held[n:]; err != nil {
				c.held = nil
				break
			}
			if len(c.held) > 0 {
				return // until there is room
			}
			c.held = nil
		}
		n, err := c.tcp.Read(now, chunk[:])
		if n == 0 || err != nil {
			break
		}
		c.held = append([]byte(nil), chunk[:n]...)
	}
	if conn.Ended() || conn.TakeError() != nil {
		c.tcp.OnReady = nil
		c.tcp.Close(now)
	}
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
