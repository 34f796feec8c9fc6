package stack

import (
	"net/netip"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Raw is the kernel's side of a raw IP socket: it receives a copy of every packet
// of a protocol and sends that protocol's packets; the IP header is the kernel's.
type Raw struct {
	endpoint
	protocol wire.Protocol
}

// RawOptions are settings of one send; zero fields leave the socket's.
type RawOptions struct {
	TTL, TOS    uint8
	MTUDiscover MTUDiscover
	Src         netip.Addr
	Interface   *Interface
}

// NewRaw opens a raw socket of IPv4 or, with v6, IPv6.
func (s *Stack) NewRaw(v6 bool, protocol wire.Protocol) *Raw {
	r := &Raw{endpoint{stack: s, v6: v6}, protocol}
	d := s.demuxTable()
	d.raw = append(d.raw, r)
	return r
}

// Bind has the socket receive only what is sent to one local address.
func (r *Raw) Bind(local netip.Addr) error { return syscall.ENOSYS }

// Connect has the socket receive only from one address.
func (r *Raw) Connect(now sim.Time, remote netip.Addr) error { return syscall.ENOSYS }

// Send sends the protocol's packet b. The ICMPv6 checksum is filled in, as in
// Linux; every other one is the caller's.
func (r *Raw) Send(now sim.Time, b []byte, to netip.Addr, o RawOptions) error { return syscall.ENOSYS }

// Close closes the socket.
func (r *Raw) Close() { r.close() }
