package shell

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hopyard/hopyard/internal/socket"
)

type netcat struct {
	*program
	listen, numeric, verbose, scan, shutdown bool

	wait, quit *time.Duration // zero wait: for ever; negative quit: never
	source     string
	port       string
}

func runNC(p *program, args []string) int {
	c := &netcat{program: p}
	f := p.flags()
	udp := f.BoolP("udp", "u", false, "UDP instead of TCP")
	f.BoolVarP(&c.listen, "listen", "l", false, "wait for a connection, or a sender")
	f.BoolVarP(&c.numeric, "numeric", "n", false, "addresses only, no names")
	f.BoolVarP(&c.verbose, "verbose", "v", false, "say what happens, on standard error")
	f.BoolVarP(&c.scan, "zero", "z", false, "only see whether someone listens")
	f.BoolVarP(&c.shutdown, "shutdown", "N", false, "finish sending (FIN) at the end of the input")
	c.wait = f.seconds("wait", "w", 0, 0, "end after so long without hearing anything")
	c.quit = f.seconds("quit", "q", -1, -1, "end so long after the end of the input")
	f.StringVarP(&c.source, "source", "s", "", "send from this address")
	f.StringVarP(&c.port, "source-port", "p", "", "send from, or with -l wait on, this port")
	operands, exit, done := f.parse(args, 0, 2)
	switch {
	case done:
		return exit
	case c.listen && c.scan:
		return p.fail(exitFailure, "cannot use -z and -l")
	}
	host, port, err := c.endpoint(operands)
	if err != nil {
		p.complain("%v", err)
		p.usage(p.Stderr)
		return exitFailure
	}
	switch {
	case c.listen && *udp:
		return c.receive(host, port)
	case c.listen:
		return c.acceptTCP(host, port)
	case *udp:
		return c.talk(host, port)
	}
	return c.talkTCP(host, port)
}

// endpoint reads HOST and PORT; a listener may leave out the host and may have
// its port from -p.
func (c *netcat) endpoint(operands []string) (host string, port uint16, err error) {
	text := c.port
	switch {
	case len(operands) == 2:
		host, text = operands[0], operands[1]
	case len(operands) == 1 && c.listen && c.port == "":
		text = operands[0]
	case len(operands) == 1 && c.listen:
		host = operands[0]
	case len(operands) == 1:
		return "", 0, errors.New("a port is missing")
	case !c.listen:
		return "", 0, errors.New("host and port are missing")
	}
	port, err = portNumber(text)
	return host, port, err
}

func portNumber(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("port number invalid: %q; it takes 1 to 65535", text)
	}
	return uint16(n), nil
}

func (c *netcat) find(host string) (target, error) {
	if c.numeric {
		a, err := netip.ParseAddr(host)
		if err != nil {
			return target{}, fmt.Errorf("%s is not an address, and -n allows no names", host)
		}
		return target{host, a}, nil
	}
	t, err := c.lookup(host, false, false)
	if err != nil {
		return t, fmt.Errorf("getaddrinfo for host %q: %w", host, err)
	}
	return t, nil
}

// bound is the local end that -s and -p ask for.
func (c *netcat) bound(family netip.Addr) (netip.AddrPort, error) {
	var addr netip.Addr
	var port uint16
	var err error
	if c.source != "" {
		if addr, err = netip.ParseAddr(c.source); err != nil {
			return netip.AddrPort{}, fmt.Errorf("%s is not an address", c.source)
		}
	} else if c.port != "" {
		addr = netip.IPv4Unspecified()
		if family.Is6() {
			addr = netip.IPv6Unspecified()
		}
	}
	if c.port != "" {
		if port, err = portNumber(c.port); err != nil {
			return netip.AddrPort{}, err
		}
	}
	if !addr.IsValid() {
		return netip.AddrPort{}, nil
	}
	return netip.AddrPortFrom(addr, port), nil
}

func network(a netip.Addr) string {
	if a.Is6() {
		return "udp6"
	}
	return "udp4"
}

func (c *netcat) talk(host string, port uint16) int {
	t, err := c.find(host)
	if err != nil {
		return c.fail(exitFailure, "%v", err)
	}
	local, err := c.bound(t.addr)
	if err != nil {
		return c.fail(exitFailure, "%v", err)
	}
	conn, err := c.net.DialUDP(network(t.addr), local, netip.AddrPortFrom(t.addr, port))
	if err != nil {
		return c.fail(exitFailure, "connect to %s port %d (udp) failed: %s", t.label(t.addr, c.numeric), port, strerror(err))
	}
	defer conn.Close()
	if c.scan {
		return c.knock(conn, t, port)
	}
	if c.verbose {
		c.succeeded(t, port)
	}
	return c.relay(conn)
}

func (c *netcat) succeeded(t target, port uint16) {
	fmt.Fprintf(c.Stderr, "Connection to %s %d port [udp/*] succeeded!\n", t.label(t.addr, c.numeric), port)
}

// knock sends a datagram each second. Over UDP silence counts as success: only
// a port unreachable tells that nobody listens.
func (c *netcat) knock(conn *socket.UDPConn, t target, port uint16) int {
	const knocks, gap = 4, time.Second
	tries := knocks
	if *c.wait > 0 {
		tries = max(1, int(*c.wait/gap))
	}
	for range tries {
		_, err := conn.Write([]byte("X"))
		if err == nil {
			conn.SetReadDeadline(time.Now().Add(gap))
			_, err = conn.Read(make([]byte, 1))
		}
		if err == nil {
			break
		}
		if !timedOut(err) {
			if c.verbose {
				c.complain("connect to %s port %d (udp) failed: %s", t.label(t.addr, c.numeric), port, strerror(err))
			}
			return exitFailure
		}
	}
	if c.verbose {
		c.succeeded(t, port)
	}
	return exitOK
}

// receive waits for a first datagram and then talks with its sender alone, as
// the real nc does.
func (c *netcat) receive(host string, port uint16) int {
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
	conn, err := c.net.ListenUDP(network(at.Addr()), at)
	if err != nil {
		return c.fail(exitFailure, "%s", strerror(err))
	}
	if c.verbose {
		fmt.Fprintf(c.Stderr, "Bound on %v %d\n", at.Addr(), at.Port())
	}
	c.patience(conn)
	buf := make([]byte, 1<<16)
	n, from, err := conn.ReadFrom(buf)
	if err != nil {
		conn.Close()
		return c.ended(err)
	}
	c.Stdout.Write(buf[:n])
	conn.Close()
	peer := from.(*net.UDPAddr).AddrPort()
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	if c.verbose {
		fmt.Fprintf(c.Stderr, "Connection received on %v %d\n", peer.Addr(), peer.Port())
	}
	conn, err = c.net.DialUDP(network(peer.Addr()), at, peer)
	if err != nil {
		return c.fail(exitFailure, "connect: %s", strerror(err))
	}
	defer conn.Close()
	return c.relay(conn)
}

func (c *netcat) patience(conn *socket.UDPConn) {
	if *c.wait > 0 {
		conn.SetReadDeadline(time.Now().Add(*c.wait))
	}
}

// relay sends each line of the input as a datagram and writes what comes back,
// until -w or -q ends it, a line cannot be sent or the program is stopped.
func (c *netcat) relay(conn *socket.UDPConn) int {
	done := make(chan struct{})
	defer close(done)
	failed := make(chan error, 1)
	go func() {
		if err := c.sendLines(conn, done); err != nil {
			failed <- err
			conn.Close()
		}
	}()
	buf := make([]byte, 1<<16)
	for {
		c.patience(conn)
		n, err := conn.Read(buf)
		if err == nil {
			c.Stdout.Write(buf[:n])
			continue
		}
		select {
		case err = <-failed:
			return c.fail(exitFailure, "write failed: %s", strerror(err))
		default:
			return c.ended(err)
		}
	}
}

// sendLines sends the input to its end and, with -q, closes the socket that long
// after.
func (c *netcat) sendLines(conn *socket.UDPConn, done <-chan struct{}) error {
	in := bufio.NewReader(c.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			if _, err := conn.Write(line); err != nil && !closed(err) {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if *c.quit < 0 {
		return nil
	}
	timer := time.NewTimer(*c.quit)
	defer timer.Stop()
	select {
	case <-timer.C:
		conn.Close()
	case <-done:
	}
	return nil
}

// ended is the status when reading is over: being told to stop and having
// waited long enough are no failures.
func (c *netcat) ended(err error) int {
	if timedOut(err) || closed(err) {
		return exitOK
	}
	return c.fail(exitFailure, "read failed: %s", strerror(err))
}
