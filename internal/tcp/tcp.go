// Package tcp is the TCP engine: connections and listeners as state machines
// that take segments, calls of their user and the time, and give segments and
// the next deadline. RFC 9293 is the law, Linux the custom: where they differ,
// Linux wins and the comment says so.
//
// It is passive: no goroutine, no lock, no clock. It knows nothing of IP but
// addresses, nothing of sockets but their options, and reaches out only through
// Output. Start reading at Conn, then input.go, which holds RFC 9293 3.10.7.
package tcp

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// State is the state of a connection (RFC 9293 3.3.2), with Linux's numbers.
type State uint8

// The states.
const (
	Established State = iota + 1
	SynSent
	SynReceived
	FinWait1
	FinWait2
	TimeWait
	Closed
	CloseWait
	LastAck
	Listen
	Closing
)

var stateNames = [...]string{
	"", "ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED", "CLOSE-WAIT", "LAST-ACK", "LISTEN", "CLOSING",
}

// String is the name in RFC 9293.
func (s State) String() string { return stateNames[s] }

// in reports whether s is one of the states.
func (s State) in(states ...State) bool {
	return slices.Contains(states, s)
}

// Output is the network layer below.
type Output interface {
	// Frame lends a frame with room for a segment of n bytes and for the headers
	// below it.
	Frame(n int) *wire.Frame
	// Transmit sends the segment in f over IP, and owns f. The error is Linux's:
	// EMSGSIZE where the path MTU forbids it, EHOSTUNREACH and the like.
	Transmit(now sim.Time, r *Route, f *wire.Frame) error
	// Gone tells that the connection is closed: nothing will come from it any more.
	Gone(now sim.Time, c *Conn)
}

// Route is where a segment goes and what IP writes on it.
type Route struct {
	Local, Remote netip.AddrPort
	TTL, TOS      uint8
	// ECT asks for an ECN-capable transport code point (RFC 3168 6.1.1).
	ECT bool
	// Via is the network layer's own note on the way to Remote.
	Via any
}

// Machine is what the connections of one machine share.
type Machine struct {
	Sysctl *Sysctl
	Output Output
	Stats  Stats

	secret     [32]byte
	challenges challengeLimit
	memory     memory
}

// NewMachine returns a machine that has no connection yet. Sequence numbers,
// timestamps and cookies come from the lab's seed and the machine's name.
func NewMachine(sysctl *Sysctl, output Output, seed uint64, name string) *Machine {
	m := &Machine{Sysctl: sysctl, Output: output}
	h := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(name), seed))
	m.secret = h
	return m
}

// hash is the pseudorandom function of RFC 6528 3: of a purpose, a connection
// and the machine's secret.
func (m *Machine) hash(purpose byte, local, remote netip.AddrPort, extra uint32) uint64 {
	var b [32 + 1 + 2*(16+2) + 4]byte
	copy(b[:], m.secret[:])
	b[32] = purpose
	l, r := local.Addr().As16(), remote.Addr().As16()
	copy(b[33:], l[:])
	copy(b[49:], r[:])
	binary.BigEndian.PutUint16(b[65:], local.Port())
	binary.BigEndian.PutUint16(b[67:], remote.Port())
	binary.BigEndian.PutUint32(b[69:], extra)
	sum := sha256.Sum256(b[:])
	return binary.BigEndian.Uint64(sum[:])
}

// The purposes of hash.
const (
	hashSequence byte = iota
	hashTimestamp
	hashCookie
	hashPort
)

// initialSequence is RFC 6528: a clock plus a hash of the connection's ends. The
// clock ticks every 64 ns, as in Linux (secure_tcp_seq).
func (m *Machine) initialSequence(now sim.Time, local, remote netip.AddrPort) uint32 {
	return uint32(m.hash(hashSequence, local, remote, 0)) + uint32(int64(now)>>6)
}

// timestampOffset starts a connection's timestamp clock anywhere (RFC 7323 7.1).
func (m *Machine) timestampOffset(local, remote netip.AddrPort) uint32 {
	return uint32(m.hash(hashTimestamp, netip.AddrPortFrom(local.Addr(), 0), netip.AddrPortFrom(remote.Addr(), 0), 0))
}

// before reports whether sequence number a comes before b (RFC 9293 3.4).
func before(a, b uint32) bool { return int32(a-b) < 0 }

// after reports whether sequence number a comes after b.
func after(a, b uint32) bool { return int32(a-b) > 0 }

// within reports whether low <= x < high in sequence space.
func within(x, low, high uint32) bool { return x-low < high-low }
