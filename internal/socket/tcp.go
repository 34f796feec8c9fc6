package socket

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/tcp"
)

// TCPConn is a connection. As those of package net it starts without Nagle's
// algorithm and with keepalive.
type TCPConn struct {
	*socket
	tcp   *stack.TCP
	stage stage

	// The rest belongs to the kernel.
	unsent   chunks // taken from stage, not yet in the send buffer
	flushing bool
	failed   error // what became of a write that did not wait
}

var _ net.Conn = (*TCPConn)(nil)

// goDefaults are what package net sets on each connection.
func goDefaults(o *tcp.Options) {
	o.NoDelay, o.KeepAlive = true, true
	o.KeepaliveIdle, o.KeepaliveInterval, o.KeepaliveProbes = 15*time.Second, 15*time.Second, 9
}

func (c *TCPConn) start(t *stack.TCP) {
	c.tcp = t
	c.socket.start(t, &t.Options, func(now sim.Time) {
		c.flush(now)
		c.stage.stop()
		t.Close(now)
	})
	t.OnReady = func(now sim.Time) {
		c.flush(now)
		c.reading.ready(now)
		c.writing.ready(now)
		c.grant()
	}
	c.grant()
}

// DialTCP opens a connection to remote, from local if that is set. It returns
// when the connection stands. Errors are Linux's, in a *net.OpError: ECONNREFUSED,
// ETIMEDOUT, EHOSTUNREACH ...; or ctx's.
func (n *Net) DialTCP(ctx context.Context, network string, local, remote netip.AddrPort) (*TCPConn, error) {
	c, err := n.dialTCP(ctx, network, local, remote)
	if err != nil {
		op := &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(remote), Err: err}
		if local.IsValid() {
			op.Source = net.TCPAddrFromAddrPort(local)
		}
		return nil, op
	}
	return c, nil
}

func (n *Net) dialTCP(ctx context.Context, network string, local, remote netip.AddrPort) (*TCPConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !remote.Addr().IsValid() || remote.Addr().IsUnspecified() { // as in package net: this machine
		remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), remote.Port())
	}
	c := &TCPConn{socket: newSocket(n, network)}
	err := c.opening(func(now sim.Time) error {
		t := n.host.Stack().NewTCP(isV6(network, remote.Addr()))
		goDefaults(&t.TCPOptions)
		c.start(t)
		if local.IsValid() {
			if err := t.Bind(local); err != nil {
				return sysError("bind", err)
			}
		}
		return sysError("connect", t.Connect(now, remote))
	})
	if err == nil {
		stop := context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Unix(1, 0)) })
		err = c.writing.do(func(sim.Time) (bool, error) {
			c.grant()
			switch conn := c.tcp.Conn(); {
			case c.closed:
				return true, net.ErrClosed
			case conn.State() == tcp.SynSent || conn.State() == tcp.SynReceived:
				return false, nil
			default:
				return true, sysError("connect", conn.TakeError())
			}
		})
		if !stop() && err == nil { // the context ended in the same instant: it wins, as its deadline stands
			err = ctx.Err()
		} else if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
	}
	if err != nil {
		c.abandon()
		return nil, err
	}
	return c, nil
}

// Read waits for bytes. io.EOF: the peer has finished.
func (c *TCPConn) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	err = c.reading.do(func(now sim.Time) (bool, error) {
		if c.closed {
			return true, net.ErrClosed
		}
		var err error
		n, err = c.tcp.Read(now, b)
		c.net.host.Settle(now)
		switch {
		case err == syscall.EAGAIN:
			return false, nil
		case err != nil:
			return true, sysError("read", err)
		case n == 0:
			return true, io.EOF
		}
		return true, nil
	})
	if err != nil && err != io.EOF {
		err = c.fail("read", nil, err)
	}
	return n, err
}

// Write returns when all of b is in the send buffer, or with an error and how
// much went in.
func (c *TCPConn) Write(b []byte) (n int, err error) {
	if !c.ended.Load() && !c.writing.passed() {
		if ok, first := c.stage.put(b); ok {
			if first {
				c.control.Post(func(now sim.Time) {
					c.flush(now)
					c.grant()
					c.net.host.Settle(now)
				})
			}
			return len(b), nil
		}
	}
	err = c.writing.do(func(now sim.Time) (bool, error) {
		if c.closed {
			return true, net.ErrClosed
		}
		done, err := c.writeNow(now, b, &n)
		c.grant()
		c.net.host.Settle(now)
		return done, err
	})
	if err != nil {
		err = c.fail("write", nil, err)
	}
	return n, err
}

// writeNow writes what there is room for behind what is staged; n is how much of
// b went in. Kernel only.
func (c *TCPConn) writeNow(now sim.Time, b []byte, n *int) (done bool, err error) {
	if !c.flush(now) {
		return false, nil
	}
	for *n < len(b) {
		k, err := c.tcp.Write(now, b[*n:], false)
		*n += k
		if err != nil {
			return true, sysError("write", err)
		}
		if k == 0 {
			return false, nil
		}
	}
	if len(b) == 0 && c.failed != nil {
		return true, sysError("write", c.failed)
	}
	return true, nil
}

// flush writes what is staged and reports whether all of it went in. A write may
// call OnReady, which flushes: that call leaves everything to the one that is on.
// Kernel only.
func (c *TCPConn) flush(now sim.Time) bool {
	if c.flushing {
		return false
	}
	c.flushing = true
	defer func() { c.flushing = false }()
	c.stage.take(&c.unsent)
	for c.failed == nil && len(c.unsent.cuts) > 0 {
		size := c.unsent.cuts[0]
		k, err := c.tcp.Write(now, c.unsent.data[:size], false)
		if err != nil { // a write that returned long ago: the next one is told
			c.failed = err
			break
		}
		c.unsent.data = c.unsent.data[k:]
		if k < size {
			c.unsent.cuts[0] -= k
			return false
		}
		c.unsent.cuts = c.unsent.cuts[1:]
	}
	c.unsent.reset()
	return true
}

// grant lets the program write without waiting as much as there is room for.
// Kernel only.
func (c *TCPConn) grant() {
	room := 0
	if conn := c.tcp.Conn(); conn != nil && c.failed == nil && !c.closed && len(c.unsent.cuts) == 0 {
		room = conn.Room()
	}
	c.stage.allow(room)
}

// CloseWrite sends a FIN after what is written; reading goes on.
func (c *TCPConn) CloseWrite() error {
	return c.post(func(now sim.Time) {
		c.flush(now)
		_ = c.tcp.CloseWrite(now) // ENOTCONN: there is nobody to tell
		c.grant()
	})
}

// CloseRead throws away what comes from now on.
func (c *TCPConn) CloseRead() error {
	return c.post(func(now sim.Time) { _ = c.tcp.CloseRead(now) })
}

// SetOptions changes settings of TCP.
func (c *TCPConn) SetOptions(change func(o *tcp.Options)) error {
	return c.post(func(now sim.Time) { c.tcp.SetTCPOptions(now, change) })
}

// SetNoDelay turns Nagle's algorithm off or on (TCP_NODELAY).
func (c *TCPConn) SetNoDelay(on bool) error {
	return c.SetOptions(func(o *tcp.Options) { o.NoDelay = on })
}

// SetKeepAlive turns keepalive on or off (SO_KEEPALIVE).
func (c *TCPConn) SetKeepAlive(on bool) error {
	return c.SetOptions(func(o *tcp.Options) { o.KeepAlive = on })
}

// SetKeepAlivePeriod sets how long the connection is idle before keepalive probes,
// and the time between them (TCP_KEEPIDLE, TCP_KEEPINTVL).
func (c *TCPConn) SetKeepAlivePeriod(d time.Duration) error {
	return c.SetOptions(func(o *tcp.Options) { o.KeepaliveIdle, o.KeepaliveInterval = d, d })
}

// SetKeepAliveConfig sets all of keepalive; zero fields get package net's
// defaults, negative ones stay.
func (c *TCPConn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return c.SetOptions(func(o *tcp.Options) {
		o.KeepAlive = config.Enable
		setDuration(&o.KeepaliveIdle, config.Idle)
		setDuration(&o.KeepaliveInterval, config.Interval)
		switch {
		case config.Count > 0:
			o.KeepaliveProbes = config.Count
		case config.Count == 0:
			o.KeepaliveProbes = 9
		}
	})
}

func setDuration(to *sim.Duration, d time.Duration) {
	switch {
	case d > 0:
		*to = d
	case d == 0:
		*to = 15 * time.Second
	}
}

// SetLinger sets what Close does with data that is not sent: seconds < 0 sends it
// in the background, the default; 0 discards it and resets the connection
// (SO_LINGER).
func (c *TCPConn) SetLinger(seconds int) error {
	return c.SetOptions(func(o *tcp.Options) {
		o.Linger, o.LingerTime = seconds >= 0, time.Duration(max(seconds, 0))*time.Second
	})
}

// SetReadBuffer sets the receive buffer (SO_RCVBUF), in bytes; it is no longer
// tuned. As in Linux the kernel takes twice that.
func (c *TCPConn) SetReadBuffer(bytes int) error {
	return c.SetOptions(func(o *tcp.Options) { o.ReceiveBuffer = 2 * bytes })
}

// SetWriteBuffer sets the send buffer (SO_SNDBUF), in bytes; it is no longer tuned.
func (c *TCPConn) SetWriteBuffer(bytes int) error {
	return c.SetOptions(func(o *tcp.Options) { o.SendBuffer = 2 * bytes })
}

// Info is the state of the connection (TCP_INFO).
func (c *TCPConn) Info() (i tcp.Info, err error) {
	err = c.ask(func(now sim.Time) error {
		i = c.tcp.Conn().Info(now)
		return nil
	})
	return i, err
}

// TCPListener takes connections.
type TCPListener struct {
	*socket
	tcp *stack.TCP
}

var _ net.Listener = (*TCPListener)(nil)

// backlogDefault is what package net asks for: net.core.somaxconn.
const backlogDefault = 4096

// ListenTCP opens a listener, with SO_REUSEADDR as package net does. backlog 0
// asks for the most there is.
func (n *Net) ListenTCP(network string, local netip.AddrPort, backlog int) (*TCPListener, error) {
	c := &TCPListener{socket: newSocket(n, network)}
	if backlog == 0 {
		backlog = backlogDefault
	}
	err := c.opening(func(now sim.Time) error {
		t := n.host.Stack().NewTCP(isV6(network, local.Addr()))
		t.Options.ReuseAddr = true
		t.Options.V6Only = network == "tcp6"
		goDefaults(&t.TCPOptions)
		c.tcp = t
		c.socket.start(t, &t.Options, t.Close)
		t.OnReady = c.reading.ready
		if err := t.Bind(local); err != nil {
			return sysError("bind", err)
		}
		return sysError("listen", t.Listen(backlog))
	})
	if err != nil {
		c.abandon()
		return nil, &net.OpError{Op: "listen", Net: network, Addr: net.TCPAddrFromAddrPort(local), Err: err}
	}
	return c, nil
}

// AcceptTCP waits for the next connection.
func (l *TCPListener) AcceptTCP() (*TCPConn, error) {
	var c *TCPConn
	err := l.reading.do(func(now sim.Time) (bool, error) {
		if l.closed {
			return true, net.ErrClosed
		}
		t, err := l.tcp.Accept()
		if errors.Is(err, syscall.EAGAIN) {
			return false, nil
		}
		if err != nil {
			return true, sysError("accept4", err)
		}
		c = &TCPConn{socket: newSocket(l.net, l.network)}
		c.start(t)
		return true, nil
	})
	if err != nil {
		return nil, l.fail("accept", nil, err)
	}
	return c, nil
}

// Accept is net.Listener's.
func (l *TCPListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Addr is where it listens.
func (l *TCPListener) Addr() net.Addr { return l.LocalAddr() }

// SetDeadline sets when Accept fails with os.ErrDeadlineExceeded; the zero time:
// never.
func (l *TCPListener) SetDeadline(t time.Time) error { return l.SetReadDeadline(t) }

// SetOptions changes settings that connections will have.
func (l *TCPListener) SetOptions(change func(o *tcp.Options)) error {
	return l.post(func(now sim.Time) { l.tcp.SetTCPOptions(now, change) })
}
