package socket

import (
	"errors"
	"net"
	"net/netip"
	"syscall"

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

// datagrams is what UDP, raw IP and Ethernet sockets have in common beyond socket.
type datagrams struct {
	*socket
	endpoint endpoint
}

// ErrorMessage is an entry of the error queue (IP_RECVERR): what an ICMP message
// or the machine itself said of a packet that was sent.
type ErrorMessage = stack.ErrorMessage

func newDatagrams(n *Net, network string) *datagrams {
	return &datagrams{socket: newSocket(n, network)}
}

// start makes c the socket on endpoint e. Kernel only.
func (c *datagrams) start(e endpoint, o *stack.SocketOptions, onReady *func(now sim.Time)) {
	c.endpoint = e
	c.socket.start(e, o, func(sim.Time) { e.Close() })
	*onReady = c.reading.ready
}

// receive waits for a datagram and hands it to take in the kernel.
func (c *datagrams) receive(call string, take func(d *stack.Datagram)) error {
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
func (c *datagrams) send(call string, to net.Addr, f func(now sim.Time) error) error {
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

// SetBroadcast allows sending to broadcast addresses (SO_BROADCAST).
func (c *datagrams) SetBroadcast(on bool) error {
	return c.set(func(o *stack.SocketOptions) { o.Broadcast = on })
}

// SetDontFragment chooses path MTU discovery (IP_MTU_DISCOVER).
func (c *datagrams) SetDontFragment(mode stack.MTUDiscover) error {
	return c.set(func(o *stack.SocketOptions) { o.MTUDiscover = mode })
}

// SetRecvErr has ICMP errors kept for ReadError (IP_RECVERR).
func (c *datagrams) SetRecvErr(on bool) error {
	return c.set(func(o *stack.SocketOptions) { o.RecvErr = on })
}

// SetReadBuffer sets how much waits to be read (SO_RCVBUF), in bytes. As in Linux
// the kernel takes twice that, for its own overhead.
func (c *datagrams) SetReadBuffer(bytes int) error {
	return c.set(func(o *stack.SocketOptions) { o.ReceiveBuffer = 2 * bytes })
}

// errNoError is what ReadError returns where nothing is queued, as EAGAIN.
var errNoError = errors.New("no error is queued")

// ReadError takes the oldest entry of the error queue. It does not wait.
func (c *datagrams) ReadError() (m ErrorMessage, err error) {
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
func (c *datagrams) JoinGroup(iface string, group netip.Addr) error {
	return c.group("join", iface, group, c.endpoint.JoinGroup)
}

// LeaveGroup undoes JoinGroup.
func (c *datagrams) LeaveGroup(iface string, group netip.Addr) error {
	return c.group("leave", iface, group, c.endpoint.LeaveGroup)
}

func (c *datagrams) group(op, iface string, group netip.Addr, do func(*stack.Interface, netip.Addr) error) error {
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
