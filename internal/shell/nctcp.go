package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/hopyard/hopyard/internal/socket"
	"github.com/hopyard/hopyard/internal/tcp"
)

// tcpNetwork is the network of a TCP connection to a.
func tcpNetwork(a netip.Addr) string {
	if a.Is6() {
		return "tcp6"
	}
	return "tcp4"
}

// talkTCP connects and relays, or with -z only connects.
func (c *netcat) talkTCP(host string, port uint16) int {
	t, err := c.find(host)
	if err != nil {
		return c.fail(exitFailure, "%v", err)
	}
	local, err := c.bound(t.addr)
	if err != nil {
		return c.fail(exitFailure, "%v", err)
	}
	ctx := c.net.Proc().Context()
	if *c.wait > 0 { // -w bounds connecting too
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *c.wait)
		defer cancel()
	}
	conn, err := c.net.DialTCP(ctx, tcpNetwork(t.addr), local, netip.AddrPortFrom(t.addr, port))
	switch {
	case err != nil && c.stopped():
		return exitFailure
	case errors.Is(err, context.DeadlineExceeded):
		return c.refused(t, port, "timed out: Operation now in progress")
	case err != nil:
		return c.refused(t, port, "failed: "+strerror(err))
	}
	defer conn.Close()
	if c.verbose {
		service := ssServices[port]
		if service == "" || c.numeric {
			service = "*"
		}
		fmt.Fprintf(c.Stderr, "Connection to %s %d port [tcp/%s] succeeded!\n", t.label(t.addr, c.numeric), port, service)
	}
	if c.scan {
		return exitOK
	}
	return c.relayTCP(conn)
}

// refused says that there is no connection; the real nc with -z says so only
// with -v.
func (c *netcat) refused(t target, port uint16, why string) int {
	if c.scan && !c.verbose {
		return exitFailure
	}
	return c.fail(exitFailure, "connect to %s port %d (tcp) %s", t.label(t.addr, c.numeric), port, why)
}

// acceptTCP takes one connection and relays; then it is over, as for the real nc
// without -k.
func (c *netcat) acceptTCP(host string, port uint16) int {
	at := netip.AddrPortFrom(netip.IPv4Unspecified(), port)
	if host == "" {
		host = c.source
	}
	if host != "" {
		t, err := c.find(host)
		if err != nil {
			return c.fail(exitFailure, "%v", err)
		}
		at = netip.AddrPortFrom(t.addr, port)
	}
	l, err := c.net.ListenTCP(tcpNetwork(at.Addr()), at, 1)
	if err != nil {
		return c.fail(exitFailure, "%s", strerror(err))
	}
	if c.verbose {
		fmt.Fprintf(c.Stderr, "Listening on %v %d\n", at.Addr(), at.Port())
	}
	conn, err := l.AcceptTCP()
	l.Close()
	if err != nil {
		return c.ended(err)
	}
	defer conn.Close()
	if c.verbose {
		peer := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
		fmt.Fprintf(c.Stderr, "Connection received on %v %d\n", peer.Addr().Unmap(), peer.Port())
	}
	return c.relayTCP(conn)
}

// relayTCP sends the input and writes what comes, until the peer has finished,
// nothing came for as long as -w says, -q is over or the program is stopped.
func (c *netcat) relayTCP(conn *socket.TCPConn) int {
	conn.SetOptions(func(o *tcp.Options) { *o = tcp.Options{} }) // nc sets none, package net does
	done := make(chan struct{})
	defer close(done)
	go c.sendInput(conn, done)
	buf := make([]byte, 1<<14)
	for {
		if *c.wait > 0 {
			conn.SetReadDeadline(time.Now().Add(*c.wait))
		}
		n, err := conn.Read(buf)
		c.Stdout.Write(buf[:n])
		switch {
		case err == io.EOF:
			return exitOK
		case err != nil && (timedOut(err) || closed(err)):
			return exitOK
		case err != nil:
			return c.fail(exitFailure, "read failed: %s", strerror(err))
		}
	}
}

// sendInput sends the input to its end. Then -N sends a FIN, and -q ends it all
// after a while.
func (c *netcat) sendInput(conn *socket.TCPConn, done <-chan struct{}) {
	if _, err := io.Copy(struct{ io.Writer }{conn}, c.Stdin); err != nil {
		return // the reader meets the same error
	}
	if c.shutdown {
		conn.CloseWrite()
	}
	if *c.quit < 0 {
		return
	}
	timer := time.NewTimer(*c.quit)
	defer timer.Stop()
	select {
	case <-timer.C:
		conn.Close()
	case <-done:
	}
}
