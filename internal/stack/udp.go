package stack

import (
	"net/netip"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
)

// UDP is the kernel's side of a UDP socket.
type UDP struct{ endpoint }

// NewUDP opens a UDP socket of IPv4 or, with v6, of IPv6, which carries IPv4 too
// unless Options.V6Only is set.
func (s *Stack) NewUDP(v6 bool) *UDP { return &UDP{endpoint{stack: s, v6: v6}} }

// Bind gives the socket a local address, unset or unspecified for all, and a
// port, 0 for any free one. EADDRINUSE, EADDRNOTAVAIL, EINVAL where it is bound.
func (u *UDP) Bind(local netip.AddrPort) error { return syscall.ENOSYS }

// Connect sets where Send sends and alone receives from; the zero AddrPort
// dissolves it. It fails as a route to remote does.
func (u *UDP) Connect(now sim.Time, remote netip.AddrPort) error { return syscall.ENOSYS }

// Send sends a datagram, to the connected address where to is zero.
func (u *UDP) Send(now sim.Time, b []byte, to netip.AddrPort) error { return syscall.ENOSYS }

// Close closes the socket.
func (u *UDP) Close() { u.close() }
