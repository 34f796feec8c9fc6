package socket

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
)

// endpoint is what the endpoints of package stack have in common.
type endpoint interface {
	Receive() (stack.Datagram, bool)
	Pending() error
	ReadError() (stack.ErrorMessage, bool)
	JoinGroup(i *stack.Interface, group netip.Addr) error
	LeaveGroup(i *stack.Interface, group netip.Addr) error
	Local() netip.AddrPort
	Remote() netip.AddrPort
	Close()
}

// conn is what sockets have in common: reading, closing, deadlines, options.
type conn struct {
	net      *Net
	network  string
	endpoint endpoint
	options  *stack.SocketOptions
	reading  *side
	writing  *side

	gate    gate // one request about the socket itself at a time
	control *sim.Caller

	closed bool // kernel only
}

// ErrorMessage is an entry of the error queue (IP_RECVERR): what an ICMP message
// or the machine itself said of a packet that was sent.
type ErrorMessage = stack.ErrorMessage

// start makes c the socket on endpoint e. Kernel only.
func (c *conn) start(e endpoint, o *stack.SocketOptions, onReady *func(now sim.Time)) {
	c.endpoint, c.options = e, o
	c.net.open[c] = struct{}{}
	*onReady = c.reading.ready
}

func newConn(n *Net, network string) *conn {
	return &conn{net: n, network: network, reading: newSide(n.proc), writing: newSide(n.proc), gate: newGate(), control: n.proc.NewCaller()}
}

// opening runs f, which calls start, unless the program has been stopped.
func (c *conn) opening(f func(now sim.Time) error) error {
	return c.ask(func(now sim.Time) error {
		if c.net.stopped {
			return net.ErrClosed
		}
		return f(now)
	})
}

// abandon closes a socket that could not be opened as asked.
func (c *conn) abandon() {
	_ = c.ask(func(now sim.Time) error {
		if c.endpoint != nil {
			c.shut(now)
		}
		return nil
	})
}

// ask runs f in the kernel and waits for it.
func (c *conn) ask(f func(now sim.Time) error) (err error) {
	c.gate.enter()
	defer c.gate.leave()
	c.control.Call(func(now sim.Time) {
		err = f(now)
		c.net.host.Settle(now)
		c.control.Return()
	})
	return err
}

// set changes options of the socket.
func (c *conn) set(f func(o *stack.SocketOptions) error) error {
	return c.ask(func(sim.Time) error {
		if c.closed {
			return c.fail("set", nil, net.ErrClosed)
		}
		return f(c.options)
	})
}

// receive waits for a datagram and hands it to take in the kernel.
func (c *conn) receive(call string, take func(d *stack.Datagram)) error {
	err := c.reading.do(func(sim.Time) (bool, error) {
		if c.closed {
			return true, net.ErrClosed
		}
		if err := c.endpoint.Pending(); err != nil {
			return true, sysError(call, err)
		}
		d, ok := c.endpoint.Receive()
		if ok {
			take(&d)
			d.Release()
		}
		return ok, nil
	})
	if err != nil {
		return c.fail("read", nil, err)
	}
	return nil
}

// send runs f, which sends, in the kernel.
func (c *conn) send(call string, to net.Addr, f func(now sim.Time) error) error {
	err := c.writing.do(func(now sim.Time) (bool, error) {
		if c.closed {
			return true, net.ErrClosed
		}
		if err := c.endpoint.Pending(); err != nil {
			return true, sysError(call, err)
		}
		err := f(now)
		c.net.host.Settle(now)
		return true, sysError(call, err)
	})
	if err != nil {
		return c.fail("write", to, err)
	}
	return nil
}

// fail wraps an error as package net does.
func (c *conn) fail(op string, to net.Addr, err error) error {
	if to == nil && c.endpoint != nil {
		to = c.addr(c.endpoint.Remote())
	}
	var local net.Addr
	if c.endpoint != nil {
		local = c.addr(c.endpoint.Local())
	}
	return &net.OpError{Op: op, Net: c.network, Source: local, Addr: to, Err: err}
}

// addr is an address as package net has it, nil for none.
func (c *conn) addr(a netip.AddrPort) net.Addr {
	switch {
	case !a.IsValid():
		return nil
	case c.network[0] == 'u':
		return net.UDPAddrFromAddrPort(a)
	}
	return &net.IPAddr{IP: a.Addr().AsSlice(), Zone: a.Addr().Zone()}
}

// LocalAddr is where the socket is bound.
func (c *conn) LocalAddr() net.Addr { return c.addr(c.endpoint.Local()) }

// RemoteAddr is where the socket is connected, or nil.
func (c *conn) RemoteAddr() net.Addr { return c.addr(c.endpoint.Remote()) }

// Close closes the socket; operations that wait return net.ErrClosed.
func (c *conn) Close() error {
	return c.ask(func(now sim.Time) error {
		if c.closed {
			return c.fail("close", nil, net.ErrClosed)
		}
		c.shut(now)
		return nil
	})
}

// shut closes the socket. Kernel only.
func (c *conn) shut(now sim.Time) {
	if c.closed {
		return
	}
	c.closed = true
	delete(c.net.open, c)
	c.endpoint.Close()
	for _, s := range []*side{c.reading, c.writing} {
		s.setDeadline(now, true, 0)
		s.fail(net.ErrClosed)
	}
	c.net.host.Settle(now)
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error { return c.setDeadline(t, c.reading, c.writing) }

// SetReadDeadline sets when reads fail with os.ErrDeadlineExceeded; the zero
// time: never.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, c.reading) }

// SetWriteDeadline sets when writes fail with os.ErrDeadlineExceeded.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, c.writing) }

func (c *conn) setDeadline(t time.Time, sides ...*side) error {
	left := time.Until(t) // the program's clock and the kernel's go together
	return c.ask(func(now sim.Time) error {
		if c.closed {
			return c.fail("set", nil, net.ErrClosed)
		}
		for _, s := range sides {
			s.setDeadline(now, t.IsZero(), left)
		}
		return nil
	})
}

// SetTTL sets the TTL or hop limit of what is sent (IP_TTL,
// IPV6_UNICAST_HOPS), and that of multicast (IP_MULTICAST_TTL); EINVAL outside
// 1 to 255.
func (c *conn) SetTTL(ttl int) error {
	return c.set(func(o *stack.SocketOptions) error {
		if ttl < 1 || ttl > 255 {
			return c.fail("set", nil, sysError("setsockopt", syscall.EINVAL))
		}
		o.TTL, o.MulticastTTL = uint8(ttl), uint8(ttl)
		return nil
	})
}

// SetTOS sets the type of service octet or traffic class of what is sent
// (IP_TOS, IPV6_TCLASS).
func (c *conn) SetTOS(tos uint8) error {
	return c.set(func(o *stack.SocketOptions) error { o.TOS = tos; return nil })
}

// SetBroadcast allows sending to broadcast addresses (SO_BROADCAST).
func (c *conn) SetBroadcast(on bool) error {
	return c.set(func(o *stack.SocketOptions) error { o.Broadcast = on; return nil })
}

// SetDontFragment chooses path MTU discovery (IP_MTU_DISCOVER).
func (c *conn) SetDontFragment(mode stack.MTUDiscover) error {
	return c.set(func(o *stack.SocketOptions) error { o.MTUDiscover = mode; return nil })
}

// SetRecvErr has ICMP errors kept for ReadError (IP_RECVERR).
func (c *conn) SetRecvErr(on bool) error {
	return c.set(func(o *stack.SocketOptions) error { o.RecvErr = on; return nil })
}

// SetReadBuffer sets how much waits to be read (SO_RCVBUF), in bytes. As in Linux
// the kernel takes twice that, for its own overhead.
func (c *conn) SetReadBuffer(bytes int) error {
	return c.set(func(o *stack.SocketOptions) error { o.ReceiveBuffer = 2 * bytes; return nil })
}

// errNoError is what ReadError returns where nothing is queued, as EAGAIN.
var errNoError = errors.New("no error is queued")

// ReadError takes the oldest entry of the error queue. It does not wait.
func (c *conn) ReadError() (m ErrorMessage, err error) {
	err = c.ask(func(sim.Time) error {
		if c.closed {
			return c.fail("read", nil, net.ErrClosed)
		}
		var ok bool
		if m, ok = c.endpoint.ReadError(); !ok {
			return c.fail("read", nil, errNoError)
		}
		return nil
	})
	return m, err
}

// JoinGroup joins a multicast group on the interface of that name; "": the one
// that a route to the group goes through.
func (c *conn) JoinGroup(iface string, group netip.Addr) error {
	return c.group("join", iface, group, c.endpoint.JoinGroup)
}

// LeaveGroup undoes JoinGroup.
func (c *conn) LeaveGroup(iface string, group netip.Addr) error {
	return c.group("leave", iface, group, c.endpoint.LeaveGroup)
}

func (c *conn) group(op, iface string, group netip.Addr, do func(*stack.Interface, netip.Addr) error) error {
	return c.ask(func(sim.Time) error {
		var i *stack.Interface
		if iface != "" {
			if i = c.net.host.Stack().Interface(iface); i == nil {
				return c.fail(op, nil, sysError("setsockopt", syscall.ENODEV))
			}
		}
		if err := do(i, group); err != nil {
			return c.fail(op, nil, sysError("setsockopt", err))
		}
		return nil
	})
}
