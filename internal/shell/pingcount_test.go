package shell

import (
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/wire"
)

func TestPingCount(t *testing.T) {
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	const ms = time.Millisecond
	type reply struct {
		seq  uint16
		took time.Duration
	}
	for _, c := range []struct {
		name    string
		sent    int
		replies []reply
		errors  []uint16
		want    string
	}{
		{
			"all came", 2,
			[]reply{{1, 2 * ms}, {2, 4 * ms}},
			nil,
			"2 packets transmitted, 2 received, 0% packet loss, time 1000ms\nrtt min/avg/max/mdev = 2.000/3.000/4.000/1.000 ms\n",
		},
		{
			"one lost, one twice", 3,
			[]reply{{1, ms}, {1, 3 * ms}, {2, 2 * ms}},
			nil,
			"3 packets transmitted, 2 received, +1 duplicates, 33.3333% packet loss, time 2000ms\nrtt min/avg/max/mdev = 1.000/2.000/3.000/0.816 ms, pipe 3\n",
		},
		{
			"unreachable", 3, nil,
			[]uint16{1, 2, 3},
			"3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2000ms\npipe 3\n",
		},
		{"nobody", 1, nil, nil, "1 packets transmitted, 0 received, 100% packet loss, time 0ms\n\n"},
		{"stopped before the first", 0, nil, nil, "0 packets transmitted, 0 received\n\n"},
	} {
		p := &pingCount{timed: true}
		for n := range c.sent {
			p.request(start.Add(time.Duration(n) * time.Second))
			if c.name == "all came" { // each before the next request
				r := c.replies[n]
				p.reply(r.seq, p.last.Add(r.took))
			}
		}
		if c.name != "all came" {
			for _, r := range c.replies {
				p.reply(r.seq, p.requests[r.seq].at.Add(r.took))
			}
		}
		for _, seq := range c.errors {
			p.failure(seq)
		}
		if got := p.String(); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		us   int
		want string
	}{{0, "0.000"}, {45, "0.045"}, {999, "0.999"}, {2434, "2.43"}, {9994, "9.99"}, {9995, "10.0"}, {43210, "43.2"}, {99949, "99.9"}, {99950, "100"}, {1234567, "1235"}} {
		if got := roundTrip(time.Duration(c.us) * time.Microsecond); got != c.want {
			t.Errorf("roundTrip(%d us) = %s, want %s", c.us, got, c.want)
		}
	}
}

func TestICMPText(t *testing.T) {
	for _, c := range []struct {
		got, want string
	}{
		{icmpText(wire.ICMPUnreachable, 1, 0), "Destination Host Unreachable"},
		{icmpText(wire.ICMPUnreachable, 4, 1400), "Frag needed and DF set (mtu = 1400)"},
		{icmpText(wire.ICMPUnreachable, 13, 0), "Packet filtered"},
		{icmpText(wire.ICMPUnreachable, 99, 0), "Dest Unreachable, Bad Code: 99"},
		{icmpText(wire.ICMPTimeExceeded, 0, 0), "Time to live exceeded"},
		{icmpText(wire.ICMPRedirect, 1, 0x0a0000fe), "Redirect Host(New nexthop: 10.0.0.254)"},
		{icmpv6Text(wire.ICMPv6Unreachable, 3, 0), "Destination unreachable: Address unreachable"},
		{icmpv6Text(wire.ICMPv6PacketTooBig, 0, 1400), "Packet too big: mtu=1400"},
		{icmpv6Text(wire.ICMPv6TimeExceeded, 0, 0), "Time exceeded: Hop limit"},
		{mark4(wire.ICMPUnreachable, 1, 0), "!H"},
		{mark4(wire.ICMPUnreachable, 3, 0), ""},
		{mark4(wire.ICMPUnreachable, 4, 1400), "!F-1400"},
		{mark4(wire.ICMPUnreachable, 13, 0), "!X"},
		{mark6(wire.ICMPv6Unreachable, 0, 0), "!N"},
		{mark6(wire.ICMPv6PacketTooBig, 0, 1400), "!F-1400"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
