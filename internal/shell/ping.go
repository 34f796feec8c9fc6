package shell

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/hopyard/hopyard/internal/socket"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/wire"
)

// timestampLen is what ping puts in front of its pattern: a struct timeval.
const timestampLen = 16

type pingOptions struct {
	v4, v6, allowBroadcast, numeric, quiet bool

	count, size, ttl         *int
	interval, linger, within *time.Duration
	discover                 stack.MTUDiscover
	pattern                  []byte
	from                     string
}

// pinger is one run of ping. One goroutine does everything: it sleeps in the
// socket until a packet comes or the next request is due.
type pinger struct {
	*program
	pingOptions
	pingCount
	target
	broadcast bool       // the target is a broadcast address
	source    netip.Addr // unset for a broadcast
	conn      *socket.IPConn
	id        uint16
	data      []byte // what follows the ICMP header in every request, but for the timestamp
	buf       []byte // what is read: an answer, or any other ICMP message as far as it matters
}

func runPing(p *program, args []string) int {
	g := &pinger{program: p}
	operands, exit, done := g.parseFlags(args)
	if done {
		return exit
	}
	if err := g.open(operands[0]); err != nil {
		return p.fail(exitUsage, "%v", err)
	}
	defer g.conn.Close()
	g.buf = make([]byte, max(1024, wire.ICMPLen+len(g.data)))
	g.banner()
	g.loop()
	p.printf("\n--- %s ping statistics ---\n%s", g.name, g.pingCount.String())
	if g.received == 0 || *g.within > 0 && g.received < *g.count {
		return exitFailure
	}
	return exitOK
}

func (g *pinger) parseFlags(args []string) (operands []string, exit int, done bool) {
	f := g.program.flags()
	g.count = f.integer("count", "c", 0, 1, 1<<40, "stop after so many replies")
	g.interval = f.seconds("interval", "i", time.Second, 0.001, "between requests")
	g.size = f.integer("size", "s", 56, 0, 65507, "bytes of data")
	g.ttl = f.integer("ttl", "t", 0, 1, 255, "TTL or hop limit of requests")
	g.linger = f.seconds("timeout", "W", 10*time.Second, 0, "wait so long for a first reply")
	g.within = f.seconds("deadline", "w", 0, 0, "end after so long, or at the first error")
	discover := f.StringP("pmtudisc", "M", "", "path MTU discovery: do, want or dont")
	pattern := f.StringP("pattern", "p", "", "fill the data with these bytes, in hexadecimal")
	f.StringVarP(&g.from, "interface", "I", "", "send from this address")
	f.BoolVarP(&g.numeric, "numeric", "n", false, "write no names")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "write only the summary")
	f.BoolVarP(&g.allowBroadcast, "broadcast", "b", false, "allow a broadcast address")
	f.BoolVarP(&g.v4, "ipv4", "4", false, "IPv4 only")
	f.BoolVarP(&g.v6, "ipv6", "6", false, "IPv6 only")
	f.later("flood", "f", "flood ping is")
	f.later("record-route", "R", "the record route option is")
	operands, exit, done = f.parse(args, 1, 1)
	if done {
		return nil, exit, true
	}
	if err := g.setMode(*discover, *pattern); err != nil {
		return nil, g.fail(exitUsage, "%v", err), true
	}
	return operands, exitOK, false
}

func (g *pinger) setMode(discover, pattern string) (err error) {
	switch {
	case g.v4 && g.v6:
		return errors.New("only one -4 or -6 option may be specified")
	case len(pattern) > 32:
		return fmt.Errorf("invalid argument: '%s' for -p: at most 16 bytes", pattern)
	}
	switch discover {
	case "":
	case "do":
		g.discover = stack.DiscoverDo
	case "want":
		g.discover = stack.DiscoverWant
	case "dont":
		g.discover = stack.DiscoverDont
	default:
		return fmt.Errorf("invalid -M argument: %s; it takes do, want or dont", discover)
	}
	if len(pattern)%2 != 0 {
		pattern = pattern[:len(pattern)-1] + "0" + pattern[len(pattern)-1:]
	}
	if g.pattern, err = hex.DecodeString(pattern); err != nil {
		return errors.New("patterns must be specified as hex digits")
	}
	return nil
}

// open finds the target and the source, as the real ping does, and opens the raw
// socket. An error is ready to print.
func (g *pinger) open(name string) (err error) {
	if g.target, err = g.lookup(name, g.v4, g.v6); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var from netip.Addr
	if g.from != "" {
		if from, err = netip.ParseAddr(g.from); err != nil {
			return fmt.Errorf("%s: not an address; -I with the name of a device is not there yet", g.from)
		}
	}
	if err = g.findSource(from); err != nil {
		return err
	}
	network := "ip4:icmp"
	if g.addr.Is6() {
		network = "ip6:ipv6-icmp"
	}
	if g.conn, err = g.net.ListenIP(network, from); err != nil {
		return fmt.Errorf("socket: %s", strerror(err))
	}
	err = g.conn.SetRecvErr(true)
	if err == nil && g.broadcast {
		err = g.conn.SetBroadcast(true)
	}
	if err != nil {
		return fmt.Errorf("setsockopt: %s", strerror(err))
	}
	g.id = uint16(g.net.Proc().Number())
	g.timed = *g.size >= timestampLen
	g.data = g.fill()
	return nil
}

// findSource asks the host which address it would send from. It refuses a
// broadcast address there, as connect does, unless -b allows one.
func (g *pinger) findSource(from netip.Addr) (err error) {
	g.source, err = g.local(g.addr, from)
	switch {
	case err == nil:
		return nil
	case errno(err) == syscall.EACCES && g.allowBroadcast:
		g.broadcast = true
		return nil
	case errno(err) == syscall.EACCES:
		return errors.New("Do you want to ping broadcast? Then -b. If not, check your local firewall rules")
	case errno(err) == syscall.EADDRNOTAVAIL && from.IsValid():
		return fmt.Errorf("bind: %s", strerror(err))
	}
	return fmt.Errorf("connect: %s", strerror(err))
}

func (g *pinger) fill() []byte {
	data := make([]byte, *g.size)
	for i := range data {
		data[i] = byte(i)
		if len(g.pattern) > 0 {
			data[i] = g.pattern[i%len(g.pattern)]
		}
	}
	return data
}

func (g *pinger) banner() {
	if len(g.pattern) > 0 {
		g.printf("PATTERN: 0x%x\n", g.pattern)
	}
	if g.broadcast {
		fmt.Fprintln(g.Stderr, "WARNING: pinging broadcast address")
	}
	g.printf("PING %s (%v) ", g.name, g.addr)
	if g.from != "" {
		g.printf("from %s : ", g.from)
	}
	if g.addr.Is6() {
		g.printf("%d data bytes\n", *g.size)
		return
	}
	g.printf("%d(%d) bytes of data.\n", *g.size, *g.size+wire.ICMPLen+wire.IPv4MinLen)
}

// loop sends a request each interval, by a schedule that replies do not shift,
// and takes what comes in between.
func (g *pinger) loop() {
	next := time.Now()
	var stop, end time.Time // the last request was long enough ago; -w has passed
	if *g.within > 0 {
		end = next.Add(*g.within)
	}
	for !g.stopped() && !g.enough() {
		now := time.Now()
		if past(now, stop) || past(now, end) {
			return
		}
		more := *g.count == 0 || g.sent < *g.count || *g.within > 0
		switch {
		case !more && stop.IsZero():
			stop = now.Add(g.patience())
			continue
		case more && !now.Before(next):
			g.send(now)
			next = next.Add(*g.interval)
			continue
		}
		until := stop
		if more {
			until = earlier(next, end)
		}
		if !g.receive(until) {
			return
		}
	}
}

// enough reports whether nothing more is waited for: with -w, the first error
// ends the run too.
func (g *pinger) enough() bool {
	return *g.count > 0 && g.received+g.errors >= *g.count || *g.within > 0 && g.errors > 0
}

// patience is how long ping waits after its last request: twice the longest
// round trip, an interval at least, or -W when nothing has answered at all.
func (g *pinger) patience() time.Duration {
	if g.received == 0 {
		return *g.linger
	}
	return max(2*g.most, *g.interval)
}

func past(now, t time.Time) bool { return !t.IsZero() && !now.Before(t) }

// earlier is the first of two times of which the second may be unset.
func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// send sends the next request. One that could not be sent counts as sent, as in
// iputils.
func (g *pinger) send(now time.Time) {
	data := bytes.Clone(g.data)
	if g.timed {
		binary.LittleEndian.PutUint64(data, uint64(now.Unix()))
		binary.LittleEndian.PutUint64(data[8:], uint64(now.Nanosecond()/1000))
	}
	packet := g.echo(uint16(g.sent+1), data)
	g.write(packet)
	g.request(now)
}

// write hands a request to the socket. What it returns may be the error of an
// earlier request, that came in the meantime: then it is handed over again.
func (g *pinger) write(packet []byte) {
	for {
		err := g.conn.WriteMsg(packet, g.addr, socket.IPOptions{TTL: *g.ttl, DontFragment: g.discover})
		if err == nil || closed(err) {
			return
		}
		network, local := g.takeErrors()
		if network > 0 {
			continue
		}
		if local == 0 && !g.quiet {
			g.complain("sendmsg: %s", strerror(err))
		}
		return
	}
}

// echo is the message of a request.
func (g *pinger) echo(seq uint16, data []byte) []byte {
	rest := wire.EchoRest(g.id, seq)
	if g.addr.Is4() {
		return wire.AppendICMP(nil, wire.ICMPHeader{Type: wire.ICMPEcho, Rest: rest}, data)
	}
	return wire.AppendICMPv6(nil, wire.ICMPv6Header{Type: wire.ICMPv6Echo, Rest: rest, Src: g.source, Dst: g.addr}, data)
}

// receive takes one packet or what the error queue holds. It is false when the
// socket is gone.
func (g *pinger) receive(until time.Time) bool {
	g.conn.SetReadDeadline(until)
	n, info, err := g.conn.ReadMsg(g.buf)
	switch {
	case timedOut(err):
		return true
	case closed(err):
		return false
	case err != nil:
		if network, local := g.takeErrors(); network+local == 0 && !g.quiet {
			g.complain("recvmsg: %s", strerror(err))
		}
		return true
	}
	g.take(g.buf[:n], info, time.Now())
	return true
}

// take prints a packet that came in, if it is a reply to us.
func (g *pinger) take(b []byte, info socket.IPInfo, now time.Time) {
	id, seq, data, ok := g.echoReply(b)
	if !ok {
		g.redirect(b, info)
		return
	}
	if id != g.id {
		return
	}
	took, repeat := g.reply(seq, now)
	if g.quiet {
		return
	}
	line := fmt.Sprintf("%d bytes from %s: icmp_seq=%d ttl=%d", len(data)+wire.ICMPLen, g.label(info.Src, g.numeric), seq, info.TTL)
	if len(data) < *g.size {
		line += " (truncated)"
	}
	if g.timed {
		line += " time=" + roundTrip(took) + " ms"
	}
	if repeat && !g.broadcast && !g.addr.IsMulticast() {
		line += " (DUP!)"
	}
	g.printf("%s\n", line+g.wrongData(data))
}

func (g *pinger) echoReply(b []byte) (id, seq uint16, data []byte, ok bool) {
	if g.addr.Is6() {
		m, err := wire.ParseICMPv6(b)
		if err != nil || m.Type() != wire.ICMPv6EchoReply {
			return 0, 0, nil, false
		}
		return m.ID(), m.Seq(), m.Payload(), true
	}
	m, err := wire.ParseICMP(b)
	if err != nil || m.Type() != wire.ICMPEchoReply {
		return 0, 0, nil, false
	}
	return m.ID(), m.Seq(), m.Payload(), true
}

// redirect prints a redirect about one of our requests; the other errors come
// by the error queue.
func (g *pinger) redirect(b []byte, info socket.IPInfo) {
	m, err := wire.ParseICMP(b)
	if g.addr.Is6() || g.quiet || err != nil || m.Type() != wire.ICMPRedirect {
		return
	}
	if seq, ok := g.ours(m.Payload()); ok {
		g.printf("From %s: icmp_seq=%d %s\n", g.label(info.Src, g.numeric), seq, icmpText(m.Type(), m.Code(), m.Rest()))
	}
}

// wrongData tells where the data that came back differs from what was sent.
func (g *pinger) wrongData(data []byte) string {
	const perLine = 32
	for i := timestampLen; i < min(len(data), len(g.data)); i++ {
		if data[i] == g.data[i] {
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "\nwrong data byte #%d should be 0x%x but was 0x%x", i, g.data[i], data[i])
		for j, v := range data[timestampLen:] {
			if j%perLine == 0 {
				fmt.Fprintf(&b, "\n#%d\t", j+timestampLen)
			}
			fmt.Fprintf(&b, "%x ", v)
		}
		return b.String()
	}
	return ""
}

// takeErrors prints what the error queue holds and counts the entries that the
// network caused and those of this host.
func (g *pinger) takeErrors() (network, local int) {
	for {
		m, err := g.conn.ReadError()
		if err != nil {
			return network, local
		}
		if !m.Offender.IsValid() {
			local++
			g.errors++
			g.localError(m)
			continue
		}
		network++
		seq, ok := g.ours(m.Payload)
		if !ok {
			continue
		}
		g.failure(seq)
		if !g.quiet {
			g.printf("From %s icmp_seq=%d %s\n", g.label(m.Offender, g.numeric), seq, g.errorText(m))
		}
	}
}

func (g *pinger) localError(m socket.ErrorMessage) {
	switch {
	case g.quiet:
	case m.Errno == syscall.EMSGSIZE:
		g.complain("local error: message too long, mtu=%d", m.Info)
	default:
		g.complain("local error: %s", strerror(m.Errno))
	}
}

func (g *pinger) errorText(m socket.ErrorMessage) string {
	if g.addr.Is6() {
		return icmpv6Text(wire.ICMPv6Type(m.Type), uint8(m.Code), uint32(m.Info))
	}
	return icmpText(wire.ICMPType(m.Type), uint8(m.Code), uint32(m.Info))
}

// ours finds the number of our request in the start of a packet that an error
// is about, with or without its IP header.
func (g *pinger) ours(b []byte) (seq uint16, ok bool) {
	if g.addr.Is6() {
		if len(b) > wire.IPv6Len && b[0]>>4 == 6 {
			b = b[wire.IPv6Len:]
		}
		m, err := wire.ParseICMPv6(b)
		if err != nil || m.Type() != wire.ICMPv6Echo || m.ID() != g.id {
			return 0, false
		}
		return m.Seq(), true
	}
	if len(b) > wire.IPv4MinLen && b[0]>>4 == 4 {
		b = b[min(int(b[0]&15)*4, len(b)):]
	}
	m, err := wire.ParseICMP(b)
	if err != nil || m.Type() != wire.ICMPEcho || m.ID() != g.id {
		return 0, false
	}
	return m.Seq(), true
}
