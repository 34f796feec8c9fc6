package scenario

import (
	"net/netip"
	"testing"

	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/wire"
)

var (
	mac1 = wire.MAC{2, 0, 0, 0, 0, 0x11}
	mac2 = wire.MAC{2, 0, 0, 0, 0, 0x12}
	ip1  = netip.MustParseAddr("10.0.1.11")
	ip2  = netip.MustParseAddr("10.0.1.12")
	ll1  = netip.MustParseAddr("fe80::ff:fe00:11")
	ll2  = netip.MustParseAddr("fe80::ff:fe00:12")
)

func ethernet(dst, src wire.MAC, t wire.EtherType) []byte {
	return wire.AppendEthernet(nil, wire.EthernetHeader{Dst: dst, Src: src, Type: t})
}

func arpFrame(op wire.ARPOp, from, to netip.Addr) []byte {
	dst := mac1
	if op == wire.ARPRequest {
		dst = wire.Broadcast
	}
	return wire.AppendARP(ethernet(dst, mac1, wire.TypeARP), wire.ARPPacket{Op: op, SenderMAC: mac1, SenderIP: from, TargetIP: to})
}

func ipFrame(p wire.Protocol, src, dst netip.Addr, payload []byte) []byte {
	b := wire.AppendIPv4(ethernet(mac2, mac1, wire.TypeIPv4), wire.IPv4Header{TTL: 64, Protocol: p, Src: src, Dst: dst}, len(payload))
	return append(b, payload...)
}

func echoFrame(t wire.ICMPType, src, dst netip.Addr) []byte {
	return ipFrame(wire.ProtocolICMP, src, dst, wire.AppendICMP(nil, wire.ICMPHeader{Type: t, Rest: wire.EchoRest(1, 1)}, []byte("hello")))
}

func udpFrame(src, dst netip.AddrPort) []byte {
	return ipFrame(wire.ProtocolUDP, src.Addr(), dst.Addr(), wire.AppendUDP(nil, wire.UDPHeader{Src: src, Dst: dst}, []byte("hello")))
}

func errorFrame(t wire.ICMPType, code uint8) []byte {
	about := udpFrame(netip.AddrPortFrom(ip2, 40000), netip.AddrPortFrom(ip1, 7))[wire.EthernetLen:]
	return ipFrame(wire.ProtocolICMP, ip1, ip2, wire.AppendICMP(nil, wire.ICMPHeader{Type: t, Code: code}, about))
}

func neighborFrame() []byte {
	payload := wire.AppendICMPv6(nil, wire.ICMPv6Header{Type: wire.ICMPv6NeighborSolicitation, Src: ll1, Dst: ll2}, make([]byte, 16))
	b := wire.AppendIPv6(ethernet(mac2, mac1, wire.TypeIPv6), wire.IPv6Header{NextHeader: wire.ProtocolICMPv6, HopLimit: 255, Src: ll1, Dst: ll2}, len(payload))
	return append(b, payload...)
}

func TestFilterMatches(t *testing.T) {
	plan := planOf(t, lan)
	frames := map[string][]byte{
		"request":     arpFrame(wire.ARPRequest, ip1, ip2),
		"reply":       arpFrame(wire.ARPReply, ip1, ip2),
		"echo":        echoFrame(wire.ICMPEcho, ip1, ip2),
		"echo reply":  echoFrame(wire.ICMPEchoReply, ip2, ip1),
		"udp":         udpFrame(netip.AddrPortFrom(ip1, 40000), netip.AddrPortFrom(ip2, 7)),
		"exceeded":    errorFrame(wire.ICMPTimeExceeded, 0),
		"port":        errorFrame(wire.ICMPUnreachable, wire.ICMPPortUnreachable),
		"host":        errorFrame(wire.ICMPUnreachable, wire.ICMPHostUnreachable),
		"too big":     errorFrame(wire.ICMPUnreachable, wire.ICMPFragmentationNeeded),
		"neighbor":    neighborFrame(),
		"cut short":   {1, 2, 3},
		"cut at ipv4": ethernet(mac2, mac1, wire.TypeIPv4),
	}
	tests := []struct {
		words string
		want  []string
	}{
		{"", []string{"request", "reply", "echo", "echo reply", "udp", "exceeded", "port", "host", "too big", "neighbor", "cut short", "cut at ipv4"}},
		{"arp", []string{"request", "reply"}},
		{"ARP Request", []string{"request"}},
		{"arp reply", []string{"reply"}},
		{"arp request 10.0.1.12", []string{"request"}},
		{"arp request 10.0.1.99", nil},
		{"icmp", []string{"echo", "echo reply", "exceeded", "port", "host", "too big", "neighbor"}},
		{"icmp echo request", []string{"echo"}},
		{"echo", []string{"echo", "echo reply"}},
		{"echo reply to h1", []string{"echo reply"}},
		{"time exceeded", []string{"exceeded"}},
		{"unreachable", []string{"port", "host", "too big"}},
		{"port unreachable", []string{"port"}},
		{"icmp host unreachable", []string{"host"}},
		{"fragmentation needed", []string{"too big"}},
		{"icmp error", []string{"exceeded", "port", "host", "too big"}},
		{"udp", []string{"udp"}},
		{"udp port 7", []string{"udp"}},
		{"udp to port 7", []string{"udp"}},
		{"udp from port 7", nil},
		{"ipv6", []string{"neighbor"}},
		{"neighbour solicitation", []string{"neighbor"}},
		{"broadcast", []string{"request"}},
		{"from h1 not icmp not ipv6", []string{"request", "reply", "udp", "cut at ipv4"}},
		{"from h1 ipv6", []string{"neighbor"}},
		{"to h2 ipv6", []string{"neighbor"}},
		{"from h2:eth0", []string{"echo reply"}},
		{"to 10.0.1.0/24 udp", []string{"udp"}},
		{"02:00:00:00:00:12 echo request", []string{"echo"}},
	}
	for _, test := range tests {
		f, err := newFilter(plan, test.words, false)
		if err != nil {
			t.Errorf("%q: %v", test.words, err)
			continue
		}
		want := map[string]bool{}
		for _, name := range test.want {
			want[name] = true
		}
		for name, frame := range frames {
			var p packet
			p.read(frame)
			if got := f.matches(&p); got != want[name] {
				t.Errorf("filter %q on %q: %v, want %v", test.words, name, got, want[name])
			}
		}
	}
}

func TestFilterErrors(t *testing.T) {
	plan := planOf(t, lan)
	tests := []struct {
		words, want string
		at          int
		drops       bool
	}{
		{"arp requset", `unknown word "requset"; did you mean "request"?`, 4, false},
		{"icpm echo requset", `unknown words "icpm echo requset"; did you mean "icmp echo request"?`, 0, false},
		{"from", `"from" needs a node or an address, as in from h1`, -1, false},
		{"udp port seven", `"seven" is not a port: want a number up to 65535`, 9, false},
		{"udp port 70000", `"70000" is not a port: want a number up to 65535`, 9, false},
		{"to h22", `unknown word "h22"; did you mean "h2"?`, 3, false},
		{"not", `"not" needs another word, as in not arp`, -1, false},
		{"no route", `unknown word "no"; did you mean "to"?`, 0, false},
		{"no rout", `unknown words "no rout"; did you mean "no route"?`, 0, true},
	}
	for _, test := range tests {
		_, err := newFilter(plan, test.words, test.drops)
		if err == nil {
			t.Errorf("%q: no error", test.words)
		} else if err.Error() != test.want || err.at != test.at {
			t.Errorf("%q: %q at %d, want %q at %d", test.words, err, err.at, test.want, test.at)
		}
	}
}

// Every reason that a packet can be dropped for has words.
func TestReasonsAreComplete(t *testing.T) {
	named := map[wire.Drop]bool{wire.NotDropped: true}
	for _, r := range reasons {
		for _, why := range r.why {
			named[why] = true
		}
	}
	for why := wire.NotDropped; why.Known(); why++ {
		if !named[why] {
			t.Errorf("no words for %q", why)
		}
	}
}

func TestDropsFilter(t *testing.T) {
	plan := planOf(t, lan)
	tests := []struct {
		words string
		why   wire.Drop
		want  bool
	}{
		{"", wire.DropLoss, true},
		{"", wire.DropNotForUs, false}, // a copy that reached one it was not for is no loss
		{"not for us", wire.DropNotForUs, true},
		{"too big", wire.DropTooBig, true},
		{"too big", wire.DropFragmentationOff, true},
		{"too big", wire.DropLoss, false},
		{"loss queue full", wire.DropQueueFull, true},
	}
	for _, test := range tests {
		f, err := newFilter(plan, test.words, true)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.drop(test.why); got != test.want {
			t.Errorf("%q on %q: %v", test.words, test.why, got)
		}
	}
}

func TestWhere(t *testing.T) {
	plan := planOf(t, lan)
	places := []record.Place{{Node: "h1"}, {Node: "h1", Port: "eth0"}, {Node: "sw", Port: "1"}, {Node: "sw", Port: "2"}, {Node: "h2", Port: "eth0"}}
	tests := []struct {
		text string
		want []bool
	}{
		{"", []bool{true, true, true, true, true}},
		{"h1", []bool{true, true, false, false, false}},
		{"h1:eth0", []bool{false, true, false, false, false}},
		{"h1-sw", []bool{false, true, true, false, false}},
		{"sw-h1", []bool{false, true, true, false, false}},
		{"sw", []bool{false, false, true, true, false}},
	}
	for _, test := range tests {
		w, err := newWhere(plan, test.text)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range places {
			if got := w.has(p); got != test.want[i] {
				t.Errorf("%q has %s: %v", test.text, p, got)
			}
		}
	}
}

// Looking at a frame and matching it costs no allocation: it happens at every hop.
func TestCountingDoesNotAllocate(t *testing.T) {
	s := compile(t, lan+`validate: { a: 'frames("", "icmp echo request from h1 not 10.9.0.0/16") >= 0', b: 'frames("h1", "udp port 7") == 0' }`)
	c := newCounter(s.questions)
	f := newFlows(s.plan)
	place := record.Place{Node: "h1", Port: "eth0"}
	c.AddPlace(0, place)
	f.AddPlace(0, place)
	e := record.Event{Kind: record.Sent, Data: echoFrame(wire.ICMPEcho, ip1, ip2), Packet: 1}
	for range 2 * (nearestMax + tracesEach) {
		c.Event(e)
		f.Event(e)
		if t := f.tracing[1]; t != nil {
			f.endTrace(1, t)
		}
	}
	if n := testing.AllocsPerRun(100, func() { c.Event(e); f.Event(e) }); n != 0 {
		t.Errorf("%v allocations for each frame, want 0", n)
	}
}
