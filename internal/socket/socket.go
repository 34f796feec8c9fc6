package socket

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
)

// socket is what all sockets have in common: closing, deadlines, options of IP.
type socket struct {
	net     *Net
	network string
	options *stack.SocketOptions
	reading *side
	writing *side

	// Requests about the socket itself. They come before reads and writes of the same
	// instant: Close and the setters only leave theirs and do not wait, for programs
	// call them with a mutex held (see gate).
	control *sim.Caller
	gate    gate // one that is waited for at a time
	ended   atomic.Bool

	// The rest belongs to the kernel.
	number  uint64 // of the program's sockets, by the order in which they were opened
	bound   bound  // nil until it is open
	closing func(now sim.Time)
	closed  bool
}

// bound is something with two ends.
type bound interface {
	Local() netip.AddrPort
	Remote() netip.AddrPort
}

func newSocket(n *Net, network string) *socket {
	return &socket{net: n, network: network, control: n.proc.NewCaller(), gate: newGate(), reading: newSide(n.proc), writing: newSide(n.proc)}
}

// start makes c the socket on something of the stack, which closing closes.
// Kernel only.
func (c *socket) start(b bound, o *stack.SocketOptions, closing func(now sim.Time)) {
	c.bound, c.options, c.closing = b, o, closing
	c.net.opened++
	c.number = c.net.opened
	c.net.open[c] = struct{}{}
}

// opening runs f, which calls start, unless the program has been stopped.
func (c *socket) opening(f func(now sim.Time) error) error {
	return c.ask(func(now sim.Time) error {
		if c.net.stopped {
			return net.ErrClosed
		}
		return f(now)
	})
}

// abandon closes a socket that could not be opened as asked.
func (c *socket) abandon() {
	_ = c.ask(func(now sim.Time) error {
		if c.bound != nil {
			c.shut(now)
		}
		return nil
	})
}

// ask runs f in the kernel and waits for it.
func (c *socket) ask(f func(now sim.Time) error) (err error) {
	c.gate.enter()
	defer c.gate.leave()
	c.control.Call(func(now sim.Time) {
		err = f(now)
		c.net.host.Settle(now)
		c.control.Return()
	})
	return err
}

// post has f run in the kernel and does not wait; net.ErrClosed where the socket
// is closed.
func (c *socket) post(f func(now sim.Time)) error {
	if c.ended.Load() {
		return c.fail("set", nil, net.ErrClosed)
	}
	c.control.Post(func(now sim.Time) {
		if !c.closed {
			f(now)
			c.net.host.Settle(now)
		}
	})
	return nil
}

// set changes options of the socket.
func (c *socket) set(f func(o *stack.SocketOptions)) error {
	return c.post(func(sim.Time) { f(c.options) })
}

// fail wraps an error as package net does.
func (c *socket) fail(op string, to net.Addr, err error) error {
	if to == nil && c.bound != nil {
		to = c.addr(c.bound.Remote())
	}
	var local net.Addr
	if c.bound != nil {
		local = c.addr(c.bound.Local())
	}
	return &net.OpError{Op: op, Net: c.network, Source: local, Addr: to, Err: err}
}

// addr is an address as package net has it, nil for none.
func (c *socket) addr(a netip.AddrPort) net.Addr {
	switch {
	case !a.IsValid():
		return nil
	case c.network[0] == 'u':
		return net.UDPAddrFromAddrPort(a)
	case c.network[0] == 't':
		return net.TCPAddrFromAddrPort(a)
	}
	return &net.IPAddr{IP: a.Addr().AsSlice(), Zone: a.Addr().Zone()}
}

// LocalAddr is where the socket is bound.
func (c *socket) LocalAddr() net.Addr { return c.addr(c.bound.Local()) }

// RemoteAddr is where the socket is connected, or nil.
func (c *socket) RemoteAddr() net.Addr { return c.addr(c.bound.Remote()) }

// Close closes the socket; operations that wait return net.ErrClosed.
func (c *socket) Close() error {
	if c.ended.Swap(true) {
		return c.fail("close", nil, net.ErrClosed)
	}
	c.control.Post(c.shut)
	return nil
}

// shut closes the socket. Kernel only.
func (c *socket) shut(now sim.Time) {
	if c.closed {
		return
	}
	c.closed = true
	c.ended.Store(true)
	delete(c.net.open, c)
	c.closing(now)
	for _, s := range []*side{c.reading, c.writing} {
		s.setDeadline(now, true, 0)
		s.fail(net.ErrClosed)
	}
	c.net.host.Settle(now)
}

// SetDeadline sets both deadlines.
func (c *socket) SetDeadline(t time.Time) error { return c.setDeadline(t, c.reading, c.writing) }

// SetReadDeadline sets when reads fail with os.ErrDeadlineExceeded; the zero
// time: never.
func (c *socket) SetReadDeadline(t time.Time) error { return c.setDeadline(t, c.reading) }

// SetWriteDeadline sets when writes fail with os.ErrDeadlineExceeded.
func (c *socket) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, c.writing) }

func (c *socket) setDeadline(t time.Time, sides ...*side) error {
	left := time.Until(t) // the program's clock and the kernel's go together
	for _, s := range sides {
		s.until.Store(deadlineOf(t))
	}
	return c.post(func(now sim.Time) {
		for _, s := range sides {
			s.setDeadline(now, t.IsZero(), left)
		}
	})
}

// SetTTL sets the TTL or hop limit of what is sent (IP_TTL,
// IPV6_UNICAST_HOPS), and that of multicast (IP_MULTICAST_TTL); EINVAL outside
// 1 to 255.
func (c *socket) SetTTL(ttl int) error {
	if ttl < 1 || ttl > 255 {
		return c.fail("set", nil, sysError("setsockopt", syscall.EINVAL))
	}
	return c.set(func(o *stack.SocketOptions) { o.TTL, o.MulticastTTL = uint8(ttl), uint8(ttl) })
}

// SetTOS sets the type of service octet or traffic class of what is sent
// (IP_TOS, IPV6_TCLASS).
func (c *socket) SetTOS(tos uint8) error {
	return c.set(func(o *stack.SocketOptions) { o.TOS = tos })
}
