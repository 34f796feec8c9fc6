// Package socket is what a program on a virtual host sees of the network:
// net.Conn, net.Listener and net.PacketConn for TCP and UDP, raw IP and Ethernet
// sockets, with deadlines and Linux's errors.
//
// A method called by a program leaves a request with the kernel and waits; all
// state behind it, the endpoints of package stack included, is touched in the
// kernel alone. Start reading at Net and socket.
package socket

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
)

// Host is the machine that a program runs on.
type Host interface {
	Stack() *stack.Stack
	// Settle is called in the kernel after the stack was touched: its deadline may
	// have moved.
	Settle(now sim.Time)
	// LookupHost finds the addresses of a name, nil where there are none. Any
	// goroutine may call it.
	LookupHost(name string) []netip.Addr
}

// Net is one program's access to its host's network. What the program leaves
// open is closed when it ends. Several goroutines of the program may share it.
type Net struct {
	proc *sim.Proc
	host Host

	gate   gate // one request at a time
	caller *sim.Caller

	// The rest belongs to the kernel.
	open    map[*socket]struct{}
	opened  uint64
	stopped bool
}

// New gives the program access to the network of its host. Kernel only.
func New(p *sim.Proc, h Host) *Net {
	n := &Net{proc: p, host: h, gate: newGate(), caller: p.NewCaller(), open: map[*socket]struct{}{}}
	p.AtStop(n.closeAll)
	return n
}

// Proc is the program.
func (n *Net) Proc() *sim.Proc { return n.proc }

// Inspect runs f in the kernel and waits for it: f may look at the host's stack
// and change it.
func (n *Net) Inspect(f func(now sim.Time, s *stack.Stack)) {
	n.gate.enter()
	defer n.gate.leave()
	n.caller.Call(func(now sim.Time) {
		f(now, n.host.Stack())
		n.host.Settle(now)
		n.caller.Return()
	})
}

// closeAll closes what the program left open, in the order in which it was
// opened: closing a connection sends a FIN.
func (n *Net) closeAll(now sim.Time) {
	n.stopped = true
	for _, c := range slices.SortedFunc(maps.Keys(n.open), func(a, b *socket) int { return cmp.Compare(a.number, b.number) }) {
		c.shut(now)
	}
}

// LookupHost returns the addresses of an address literal or of a name that the
// lab knows. It fails with *net.DNSError.
func (n *Net) LookupHost(name string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a}, nil
	}
	if found := n.host.LookupHost(name); len(found) > 0 {
		return found, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// ListenPacket opens a UDP socket as net.ListenPacket does: network is "udp",
// "udp4" or "udp6", address "host:port" with an empty host for all addresses.
func (n *Net) ListenPacket(network, address string) (net.PacketConn, error) {
	locals, err := n.resolve(network, address, true)
	if err == nil && network[0] != 'u' {
		err = net.UnknownNetworkError(network)
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	return n.ListenUDP(network, locals[0])
}

// Dial opens a connection as net.Dialer.DialContext does: network is "tcp" or
// "udp", or one of these with 4 or 6, address "host:port". Of a name's addresses the
// first that answers is taken.
func (n *Net) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	remotes, err := n.resolve(network, address, false)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	var first error
	for _, remote := range remotes {
		var c net.Conn
		if network[0] == 'u' {
			c, err = n.DialUDP(network, netip.AddrPort{}, remote)
		} else {
			c, err = n.DialTCP(ctx, network, netip.AddrPort{}, remote)
		}
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// Listen opens a TCP listener as net.Listen does: network is "tcp", "tcp4" or
// "tcp6", address "host:port" with an empty host for all addresses.
func (n *Net) Listen(network, address string) (net.Listener, error) {
	if network == "" || network[0] != 't' {
		return nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	}
	locals, err := n.resolve(network, address, true)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	l, err := n.ListenTCP(network, locals[0], 0)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// resolve reads "host:port" for a network.
func (n *Net) resolve(network, address string, local bool) ([]netip.AddrPort, error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
	default:
		return nil, net.UnknownNetworkError(network)
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, &net.AddrError{Err: "port is not a number from 0 to 65535", Addr: address}
	}
	if host == "" {
		if local {
			return []netip.AddrPort{netip.AddrPortFrom(netip.Addr{}, uint16(port))}, nil
		}
		host = "127.0.0.1" // as in package net: this machine
	}
	addrs, err := n.LookupHost(host)
	if err != nil {
		return nil, err
	}
	var found []netip.AddrPort
	for _, a := range addrs {
		if (network[3:] != "4" || a.Is4()) && (network[3:] != "6" || a.Is6()) {
			found = append(found, netip.AddrPortFrom(a, uint16(port)))
		}
	}
	if found == nil {
		return nil, &net.AddrError{Err: fmt.Sprintf("no IPv%s address", network[3:]), Addr: host}
	}
	return found, nil
}

// isV6 tells the family of a socket: by the network's name, else by the address.
func isV6(network string, a netip.Addr) bool {
	return strings.HasSuffix(network, "6") || !strings.HasSuffix(network, "4") && (!a.IsValid() || a.Is6())
}

// sysError is err as package os wraps what a system call returned.
func sysError(call string, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		return os.NewSyscallError(call, errno)
	}
	return err
}
