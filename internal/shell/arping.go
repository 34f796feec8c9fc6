package shell

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/socket"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/wire"
)

// arpingInterval parts probes; the real arping's is a second too.
const arpingInterval = time.Second

type arper struct {
	*program
	detect, unsolicited, answer, broadcastOnly, quitOnReply, quiet bool

	count  *int
	within *time.Duration
	device string

	target, source netip.Addr
	mac, peer      wire.MAC // peer: who is asked, everyone until someone has answered
	conn           *socket.EthernetConn

	sent, broadcasts           int
	received, requests, widely int // widely: those that came to the broadcast address
	asked                      time.Time
}

func runArping(p *program, args []string) int {
	a := &arper{program: p, peer: wire.Broadcast}
	f := p.flags()
	a.count = f.integer("count", "c", 0, 1, 1<<40, "stop after so many probes")
	a.within = f.seconds("deadline", "w", 0, 0, "end after so long")
	f.StringVarP(&a.device, "interface", "I", "", "the device to ask on")
	source := f.StringP("source", "s", "", "ask in the name of this address")
	f.BoolVarP(&a.detect, "duplicate", "D", false, "duplicate address detection: fail if someone answers")
	f.BoolVarP(&a.unsolicited, "unsolicited", "U", false, "announce an own address (gratuitous ARP)")
	f.BoolVarP(&a.answer, "answer", "A", false, "as -U, with replies instead of requests")
	f.BoolVarP(&a.broadcastOnly, "broadcast", "b", false, "never change to unicast")
	f.BoolVarP(&a.quitOnReply, "first", "f", false, "stop at the first reply")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "write nothing")
	f.later("interval", "i", "another interval than a second is")
	operands, exit, done := f.parse(args, 1, 1)
	if done {
		return exit
	}
	a.unsolicited = a.unsolicited || a.answer
	a.quitOnReply = a.quitOnReply || a.detect
	if err := a.open(operands[0], *source); err != nil {
		return p.fail(exitUsage, "%v", err)
	}
	defer a.conn.Close()
	a.say("ARPING %v from %v %s\n", a.target, a.source, a.device)
	a.loop()
	a.summary()
	if a.unsolicited || (a.received > 0) != a.detect {
		return exitOK
	}
	return exitFailure
}

func (a *arper) say(format string, args ...any) {
	if !a.quiet {
		a.printf(format, args...)
	}
}

// open finds the device and the source address, which are those of the route to
// the target unless given.
func (a *arper) open(name, source string) error {
	t, err := a.lookup(name, true, false)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	a.target, a.source = t.addr, netip.IPv4Unspecified()
	switch {
	case source != "":
		if a.source, err = netip.ParseAddr(source); err != nil || !a.source.Is4() {
			return fmt.Errorf("invalid source %s", source)
		}
	case a.unsolicited:
		a.source = a.target
	case !a.detect:
		if a.source, err = a.local(a.target, netip.Addr{}); err != nil {
			return fmt.Errorf("connect: %s", strerror(err))
		}
	}
	if err := a.findDevice(); err != nil {
		return err
	}
	a.conn, err = a.net.ListenEthernet(a.device, wire.TypeARP)
	if err != nil {
		return fmt.Errorf("socket: %s", strerror(err))
	}
	return nil
}

// findDevice takes the one that was named, that which has an address on the
// target's network, or the only one there is.
func (a *arper) findDevice() (err error) {
	a.net.Inspect(func(_ sim.Time, s *stack.Stack) {
		var found *stack.Interface
		for _, i := range s.Interfaces() {
			switch {
			case i.Loopback():
			case a.device == i.Name():
				found = i
			case a.device == "" && (found == nil || onLink(i, a.target)):
				found = i
			}
		}
		switch {
		case found == nil && a.device != "":
			err = fmt.Errorf("Device %s not available.", a.device)
		case found == nil:
			err = errors.New("Suitable device could not be determined. Please, use option -I.")
		case !found.Up():
			err = fmt.Errorf("Interface %q is down", found.Name())
		default:
			a.device, a.mac = found.Name(), found.MAC()
		}
	})
	return err
}

func onLink(i *stack.Interface, addr netip.Addr) bool {
	for _, own := range i.Addresses() {
		if own.Prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// loop probes each interval; it ends an interval after the last probe.
func (a *arper) loop() {
	next := time.Now()
	var end time.Time
	if *a.within > 0 {
		end = next.Add(*a.within)
	}
	for !a.stopped() && !(a.quitOnReply && a.received > 0) {
		now := time.Now()
		if past(now, end) {
			return
		}
		if !now.Before(next) {
			if *a.count > 0 && a.sent == *a.count {
				return
			}
			if err := a.send(now); err != nil {
				a.complain("sendto: %s", strerror(err))
			}
			next = next.Add(arpingInterval)
			continue
		}
		if !a.receive(earlier(next, end)) {
			return
		}
	}
}

func (a *arper) send(now time.Time) error {
	q := wire.ARPPacket{Op: wire.ARPRequest, SenderMAC: a.mac, SenderIP: a.source, TargetIP: a.target}
	if a.answer {
		q.Op, q.TargetMAC = wire.ARPReply, a.mac
	}
	frame := wire.AppendEthernet(nil, wire.EthernetHeader{Dst: a.peer, Src: a.mac, Type: wire.TypeARP})
	a.asked = now
	a.sent++
	if a.peer == wire.Broadcast {
		a.broadcasts++
	}
	return a.conn.WriteFrame(wire.AppendARP(frame, q))
}

// receive takes one frame. It is false when the socket is gone.
func (a *arper) receive(until time.Time) bool {
	a.conn.SetReadDeadline(until)
	buf := make([]byte, 2048)
	n, err := a.conn.ReadFrame(buf)
	switch {
	case timedOut(err):
		return true
	case closed(err):
		return false
	case err != nil:
		a.complain("recvfrom: %s", strerror(err))
		return true
	}
	if e, err := wire.ParseEthernet(buf[:n]); err == nil {
		if packet, err := wire.ParseARP(e.Payload()); err == nil {
			a.take(e, packet, time.Now())
		}
	}
	return true
}

// concerns reports whether a packet is about our question: the target speaks,
// to us or, while a duplicate is looked for, to anyone.
func (a *arper) concerns(e wire.Ethernet, q wire.ARP) bool {
	if e.Src() == a.mac || q.SenderIP() != a.target {
		return false
	}
	if a.detect {
		// RFC 5227 2.1.1: who probes for the same address is a conflict too, but
		// iputils looks at the sender alone, and so do we.
		return q.SenderMAC() != a.mac
	}
	return q.TargetIP() == a.source
}

func (a *arper) take(e wire.Ethernet, q wire.ARP, now time.Time) {
	if !a.concerns(e, q) {
		return
	}
	a.received++
	how, what := "Unicast", "reply"
	if e.Dst() == wire.Broadcast {
		how = "Broadcast"
		a.widely++
	}
	if q.Op() == wire.ARPRequest {
		what = "request"
		a.requests++
	}
	line := fmt.Sprintf("%s %s from %v [%s]", how, what, q.SenderIP(), upperMAC(q.SenderMAC()))
	if q.TargetIP() != a.source {
		line += fmt.Sprintf(" for %v", q.TargetIP())
	}
	a.say("%s  %sms\n", line, milliseconds(now.Sub(a.asked)))
	if !a.broadcastOnly && !a.detect && !a.unsolicited {
		a.peer = q.SenderMAC()
	}
}

// upperMAC writes an address as arping does.
func upperMAC(m wire.MAC) string {
	return fmt.Sprintf("%02X:%02X:%02X:%02X:%02X:%02X", m[0], m[1], m[2], m[3], m[4], m[5])
}

func (a *arper) summary() {
	a.say("Sent %d probes (%d broadcast(s))\n", a.sent, a.broadcasts)
	a.say("Received %d response(s)", a.received)
	switch {
	case a.requests > 0 && a.widely > 0:
		a.say(" (%d request(s), %d broadcast(s))", a.requests, a.widely)
	case a.requests > 0:
		a.say(" (%d request(s))", a.requests)
	case a.widely > 0:
		a.say(" (%d broadcast(s))", a.widely)
	}
	a.say("\n")
}
