package scenario

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/wire"
)

// line is a conversation in short.
func (c *ConversationReport) line() string {
	way := func(w WayReport) string {
		end := ""
		switch {
		case w.Flooded:
			end = " *"
		case !w.Arrived && w.Packets > 0:
			end = " !"
		}
		return fmt.Sprintf("%d/%d %s%s", w.Packets, w.Drops, strings.Join(w.Path, " "), end)
	}
	return fmt.Sprintf("%s > %s %s: %s | %s", c.From, c.To, c.Protocol, way(c.There), way(c.Back))
}

func TestConversations(t *testing.T) {
	r := play(t, lan+`
run:
  - { at: 1s, node: h1, cmd: "ping -c 2 h2" }
  - { at: 3s, node: h1, cmd: "ping -c 1 h3" }
  - { at: 4s, node: h1, cmd: "ping -c 1 -t 1 h3" }
  - { at: 5s, node: h1, cmd: "ping -c 1 10.0.1.99" }
  - { at: 5s, node: h3, cmd: "ping -c 1 10.0.9.9" }
`)
	want := []string{
		"10.0.1.11 > 10.0.1.12 arp: 1/0 h1 sw h2 | 1/0 h2 sw h1",
		"10.0.1.11 > 10.0.1.12 icmp echo: 2/0 h1 sw h2 | 2/0 h2 sw h1",
		"10.0.1.11 > 10.0.1.1 arp: 1/0 h1 sw r1 | 1/0 r1 sw h1",
		"10.0.1.11 > 10.0.2.13 icmp echo: 2/1 h1 sw r1 h3 | 2/0 h3 r1 sw h1",
		"10.0.2.1 > 10.0.2.13 arp: 1/0 r1 h3 | 1/0 h3 r1",
		"10.0.1.11 > 10.0.1.99 arp: 3/0 h1 sw * | 0/0 ",
		"10.0.2.13 > 10.0.9.9 icmp echo: 1/1 h3 r1 ! | 1/0 r1 h3",
	}
	var got []string
	for i := range r.Conversations {
		got = append(got, r.Conversations[i].line())
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, strings.Join(got, "\n"))
		}
	}
	i := slices.IndexFunc(r.Conversations, func(c ConversationReport) bool { return c.To == "10.0.9.9" })
	if a := r.Conversations[i].Answers; len(a) != 1 || a[0].FromNode != "r1" || a[0].Packets != 1 {
		t.Errorf("answers %+v", a)
	}
	i = slices.IndexFunc(r.Drops, func(d DropReport) bool { return d.Place == "r1:eth1" })
	if i < 0 {
		t.Fatalf("no drop at r1:eth1 in %+v", r.Drops)
	}
	if d := r.Drops[i]; d.Reason != "no route" || d.Packets != 1 || d.Example != "10.0.2.13 -> 10.0.9.9 icmp echo request" {
		t.Errorf("%+v", d)
	}
}

// A drop on a link names it.
func TestDropsOnLinks(t *testing.T) {
	r := play(t, lan+`
run: [{ at: 1s, node: h1, cmd: "ping -c 1 -W 1 h2" }]
events: [{ link: sw-h2, set: { loss: { a->b: 100% } } }]
`)
	want := DropReport{Place: "h2:eth0", Link: "h2-sw", Reason: "lost on the link", Packets: 3, First: 1002 * ms, Example: "10.0.1.12 answers 10.0.1.11 (arp reply)"}
	if len(r.Drops) == 0 || r.Drops[0] != want {
		t.Errorf("%+v, want %+v", r.Drops, want)
	}
}

// However many talk, what is kept is bounded, and the rest is counted.
func TestFlowsAreBounded(t *testing.T) {
	s := compile(t, lan)
	f := newFlows(s.plan)
	f.AddPlace(0, record.Place{Node: "h1", Port: "eth0"})
	const all = flowsMax + 100
	for i := range all {
		to := netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})
		f.Event(record.Event{Kind: record.Sent, Packet: uint64(i + 1), Data: echoFrame(wire.ICMPEcho, ip1, to)})
	}
	if len(f.list) != flowsMax || len(f.tracing) > tracesMax || f.others.packets != all-flowsMax {
		t.Errorf("%d conversations, %d traces, %d other packets", len(f.list), len(f.tracing), f.others.packets)
	}
}

func TestSentences(t *testing.T) {
	tests := []struct {
		frame []byte
		want  string
	}{
		{arpFrame(wire.ARPRequest, ip1, ip2), "10.0.1.11 asks for 10.0.1.12 (arp request)"},
		{echoFrame(wire.ICMPEcho, ip1, ip2), "10.0.1.11 -> 10.0.1.12 icmp echo request"},
		{udpFrame(netip.AddrPortFrom(ip1, 40000), netip.AddrPortFrom(ip2, 7)), "10.0.1.11 -> 10.0.1.12 udp port 40000 -> 7"},
		{errorFrame(wire.ICMPTimeExceeded, 0), "10.0.1.11 -> 10.0.1.12 time exceeded"},
		{neighborFrame(), "fe80::ff:fe00:11 -> fe80::ff:fe00:12 neighbor solicitation"},
	}
	for _, test := range tests {
		var p packet
		p.read(test.frame)
		if got := p.sentence(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func FuzzPacket(f *testing.F) {
	for _, frame := range [][]byte{arpFrame(wire.ARPRequest, ip1, ip2), echoFrame(wire.ICMPEcho, ip1, ip2), errorFrame(wire.ICMPTimeExceeded, 0), neighborFrame()} {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		var p, q packet
		p.read(frame)
		p.about(&q)
		for _, phrase := range phrases {
			phrase.term(&p)
		}
		_, _ = keyOf(&p)
		_, _ = p.sentence(), headline(frame)
	})
}
