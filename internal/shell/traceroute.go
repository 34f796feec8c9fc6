package shell

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/hopyard/hopyard/internal/socket"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/wire"
)

// tracer is one run of traceroute. It sends one probe after another, each when
// the one before has been answered or given up: the recording then reads like
// the output. (The real one sends 16 at once, -N, and prints in this order.)
type tracer struct {
	*program
	target
	icmp, numeric, dontFragment bool
	probes, hops, first, port   *int
	wait                        *time.Duration
	length                      int // of the whole packet

	method traceMethod
}

// traceMethod is a kind of probe: UDP to an unlikely port, or an ICMP echo.
type traceMethod interface {
	// probe sends probe number n, from 0, and waits for its answer until a
	// deadline.
	probe(n, ttl int, until time.Time) (answer traceAnswer, err error)
	Close() error
}

// traceAnswer is what came back for a probe.
type traceAnswer struct {
	from  netip.Addr
	mark  string // as !H
	final bool   // the way ends here
}

func runTraceroute(p *program, args []string) int {
	t := &tracer{program: p}
	f := p.flags()
	v4 := f.BoolP("ipv4", "4", false, "IPv4 only")
	v6 := f.BoolP("ipv6", "6", false, "IPv6 only")
	f.BoolVarP(&t.icmp, "icmp", "I", false, "probe with ICMP echo")
	f.BoolVarP(&t.numeric, "numeric", "n", false, "write no names")
	f.BoolVarP(&t.dontFragment, "dont-fragment", "F", false, "routers must not cut probes")
	t.probes = f.integer("queries", "q", 3, 1, 10, "probes for each hop")
	t.hops = f.integer("max-hops", "m", 30, 1, 255, "look no further")
	t.first = f.integer("first", "f", 1, 1, 255, "begin with this hop")
	t.port = f.integer("port", "p", 33434, 1, 65535, "of the first UDP probe; each next one takes the next")
	t.wait = f.seconds("wait", "w", 5*time.Second, 0.001, "for an answer")
	f.later("tcp", "T", "TCP probes are")
	operands, exit, done := f.parse(args, 1, 2)
	if done {
		return exit
	}
	if err := t.open(operands, *v4, *v6); err != nil {
		return p.fail(exitUsage, "%v", err)
	}
	defer t.method.Close()
	p.printf("traceroute to %s (%v), %d hops max, %d byte packets\n", t.name, t.addr, *t.hops, t.length)
	return t.run()
}

func (t *tracer) open(operands []string, v4, v6 bool) (err error) {
	if t.target, err = t.lookup(operands[0], v4, v6); err != nil {
		return fmt.Errorf("%s: %w", operands[0], err)
	}
	if *t.first > *t.hops {
		return errors.New("first hop out of range")
	}
	// 60 bytes for IPv4 and 80 for IPv6, and never less than the headers.
	t.length = 60
	headers := wire.IPv4MinLen + wire.UDPLen
	if t.addr.Is6() {
		t.length, headers = 80, wire.IPv6Len+wire.UDPLen
	}
	if len(operands) > 1 {
		n, err := strconv.Atoi(operands[1])
		if err != nil || n < 0 || n > 65000 {
			return fmt.Errorf("invalid packet length %q: a number of bytes up to 65000", operands[1])
		}
		t.length = max(n, headers)
	}
	data := make([]byte, t.length-headers)
	for i := range data {
		data[i] = byte('@' + i&0x3f)
	}
	if t.icmp {
		t.method, err = t.openICMP(data)
	} else {
		t.method, err = t.openUDP(data)
	}
	if err != nil {
		return errors.New(strerror(err))
	}
	return nil
}

func (t *tracer) run() int {
	n := 0
	for ttl := *t.first; ttl <= *t.hops; ttl++ {
		t.printf("%2d ", ttl)
		var last netip.Addr
		final := false
		for range *t.probes {
			sent := time.Now()
			answer, err := t.method.probe(n, ttl, sent.Add(*t.wait))
			n++
			switch {
			case t.stopped():
				t.printf("\n")
				return exitFailure
			case timedOut(err):
				t.printf(" *")
				continue
			case err != nil:
				t.printf("\n")
				return t.fail(exitFailure, "send: %s", strerror(err))
			}
			if answer.from != last {
				t.printf(" %s", t.hopName(answer.from))
				last = answer.from
			}
			t.printf("  %s ms", milliseconds(time.Since(sent)))
			if answer.mark != "" {
				t.printf(" %s", answer.mark)
			}
			final = final || answer.final
		}
		t.printf("\n")
		if final {
			break
		}
	}
	return exitOK
}

// hopName is "name (address)"; a router whose name is not known has its address
// for a name.
func (t *tracer) hopName(a netip.Addr) string {
	switch {
	case t.numeric:
		return a.String()
	case a == t.addr:
		return t.name + " (" + a.String() + ")"
	}
	return a.String() + " (" + a.String() + ")"
}

// answerOf reads an ICMP error about a probe.
func (t *tracer) answerOf(m socket.ErrorMessage) traceAnswer {
	a := traceAnswer{from: m.Offender}
	if t.addr.Is6() {
		a.final = wire.ICMPv6Type(m.Type) != wire.ICMPv6TimeExceeded
		if a.final {
			a.mark = mark6(wire.ICMPv6Type(m.Type), uint8(m.Code), int(m.Info))
		}
		return a
	}
	a.final = wire.ICMPType(m.Type) != wire.ICMPTimeExceeded
	if a.final {
		a.mark = mark4(wire.ICMPType(m.Type), uint8(m.Code), int(m.Info))
	}
	return a
}

// mark4 is traceroute's short form of an error that ends the way; the port
// unreachable of the destination is what it hopes for, and has none.
func mark4(kind wire.ICMPType, code uint8, info int) string {
	if kind != wire.ICMPUnreachable {
		return fmt.Sprintf("!<%d-%d>", kind, code)
	}
	switch code {
	case wire.ICMPPortUnreachable:
		return ""
	case wire.ICMPNetUnreachable, wire.ICMPNetUnknown, wire.ICMPSourceIsolated, wire.ICMPNetTOS:
		return "!N"
	case wire.ICMPHostUnreachable, wire.ICMPHostUnknown, wire.ICMPHostTOS:
		return "!H"
	case wire.ICMPProtocolUnreachable:
		return "!P"
	case wire.ICMPFragmentationNeeded:
		return fmt.Sprintf("!F-%d", info)
	case wire.ICMPSourceRouteFailed:
		return "!S"
	case wire.ICMPNetProhibited, wire.ICMPHostProhibited, wire.ICMPAdminProhibited:
		return "!X"
	case wire.ICMPPrecedenceViolation:
		return "!V"
	case wire.ICMPPrecedenceCutoff:
		return "!C"
	}
	return fmt.Sprintf("!<%d>", code)
}

func mark6(kind wire.ICMPv6Type, code uint8, info int) string {
	switch kind {
	case wire.ICMPv6PacketTooBig:
		return fmt.Sprintf("!F-%d", info)
	case wire.ICMPv6Unreachable:
	default:
		return fmt.Sprintf("!<%d-%d>", kind, code)
	}
	switch code {
	case wire.ICMPv6PortUnreachable:
		return ""
	case wire.ICMPv6NoRoute:
		return "!N"
	case wire.ICMPv6AdminProhibited:
		return "!X"
	case wire.ICMPv6BeyondScope, wire.ICMPv6AddressUnreachable:
		return "!H"
	}
	return fmt.Sprintf("!<%d>", code)
}

type traceUDP struct {
	*tracer
	conn *socket.UDPConn
	data []byte
}

func (t *tracer) openUDP(data []byte) (*traceUDP, error) {
	network := "udp4"
	if t.addr.Is6() {
		network = "udp6"
	}
	c, err := t.net.ListenUDP(network, netip.AddrPort{})
	if err != nil {
		return nil, err
	}
	if t.dontFragment {
		c.SetDontFragment(stack.DiscoverProbe)
	}
	return &traceUDP{t, c, data}, c.SetRecvErr(true)
}

func (u *traceUDP) Close() error { return u.conn.Close() }

func (u *traceUDP) probe(n, ttl int, until time.Time) (traceAnswer, error) {
	port := uint16(*u.port + n)
	to := netip.AddrPortFrom(u.addr, port)
	if err := u.conn.SetTTL(ttl); err != nil {
		return traceAnswer{}, err
	}
	for {
		_, err := u.conn.WriteTo(u.data, net.UDPAddrFromAddrPort(to))
		if err == nil {
			break
		}
		// An error about an earlier probe may come out here; then send again.
		if a, err := u.answer(port, err); !errors.Is(err, errNotOurs) {
			return a, err
		}
	}
	u.conn.SetReadDeadline(until)
	buf := make([]byte, 1<<16)
	for {
		_, from, err := u.conn.ReadFrom(buf)
		switch {
		case timedOut(err), closed(err):
			return traceAnswer{}, err
		case err != nil:
			if a, err := u.answer(port, err); !errors.Is(err, errNotOurs) {
				return a, err
			}
		case from.String() == to.String():
			return traceAnswer{from: u.addr, final: true}, nil // a service answers there
		}
	}
}

// errNotOurs says that the error queue held only errors about other probes.
var errNotOurs = errors.New("no error about this probe")

// answer looks in the error queue for what became of the probe to port. Where the
// queue is empty, failed itself is the error.
func (u *traceUDP) answer(port uint16, failed error) (traceAnswer, error) {
	for {
		m, err := u.conn.ReadError()
		switch {
		case err != nil:
			return traceAnswer{}, failed
		case m.Offender.IsValid() && m.To.Port() == port:
			return u.answerOf(m), nil
		case !m.Offender.IsValid() && m.Errno == syscall.EMSGSIZE:
			return traceAnswer{from: u.addr, mark: fmt.Sprintf("!F-%d", m.Info), final: true}, nil
		}
		failed = errNotOurs
	}
}

type traceICMP struct {
	*tracer
	pinger pinger // knows our echo when it sees it
	data   []byte
}

func (t *tracer) openICMP(data []byte) (*traceICMP, error) {
	i := &traceICMP{tracer: t, data: data}
	i.pinger = pinger{program: t.program, target: t.target, id: uint16(t.net.Proc().Number())}
	var err error
	if i.pinger.source, err = t.local(t.addr, netip.Addr{}); err != nil {
		return nil, err
	}
	network := "ip4:icmp"
	if t.addr.Is6() {
		network = "ip6:ipv6-icmp"
	}
	if i.pinger.conn, err = t.net.ListenIP(network, netip.Addr{}); err != nil {
		return nil, err
	}
	return i, i.pinger.conn.SetRecvErr(true)
}

func (i *traceICMP) Close() error { return i.pinger.conn.Close() }

func (i *traceICMP) probe(n, ttl int, until time.Time) (traceAnswer, error) {
	g := &i.pinger
	seq := uint16(n + 1)
	opts := socket.IPOptions{TTL: ttl}
	if i.dontFragment {
		opts.DontFragment = stack.DiscoverProbe
	}
	for {
		err := g.conn.WriteMsg(g.echo(seq, i.data), i.addr, opts)
		if err == nil {
			break
		}
		if a, err := i.answer(seq, err); !errors.Is(err, errNotOurs) {
			return a, err
		}
	}
	g.conn.SetReadDeadline(until)
	buf := make([]byte, 1<<16)
	for {
		n, info, err := g.conn.ReadMsg(buf)
		if timedOut(err) || closed(err) {
			return traceAnswer{}, err
		}
		if err != nil {
			if a, err := i.answer(seq, err); !errors.Is(err, errNotOurs) {
				return a, err
			}
			continue
		}
		if id, got, _, ok := g.echoReply(buf[:n]); ok && id == g.id && got == seq {
			return traceAnswer{from: info.Src, final: true}, nil
		}
	}
}

// answer is traceUDP's, for the echo of that sequence number.
func (i *traceICMP) answer(seq uint16, failed error) (traceAnswer, error) {
	for {
		m, err := i.pinger.conn.ReadError()
		if err != nil {
			return traceAnswer{}, failed
		}
		if !m.Offender.IsValid() && m.Errno == syscall.EMSGSIZE {
			return traceAnswer{from: i.addr, mark: fmt.Sprintf("!F-%d", m.Info), final: true}, nil
		}
		if got, ok := i.pinger.ours(m.Payload); ok && got == seq && m.Offender.IsValid() {
			return i.answerOf(m), nil
		}
		failed = errNotOurs
	}
}

var _, _ traceMethod = (*traceUDP)(nil), (*traceICMP)(nil)
