package explain

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/wire"
)

func TestARPRequestIsTold(t *testing.T) {
	frame := wire.AppendEthernet(nil, wire.EthernetHeader{Dst: wire.Broadcast, Src: wire.MAC{2, 0, 0, 0, 0, 1}, Type: wire.TypeARP})
	frame = wire.AppendARP(frame, wire.ARPPacket{
		Op: wire.ARPRequest, SenderMAC: wire.MAC{2, 0, 0, 0, 0, 1},
		SenderIP: netip.MustParseAddr("10.0.0.1"), TargetIP: netip.MustParseAddr("10.0.0.2"),
	})
	var b strings.Builder
	w := Writer{Out: &b, Filter: Filter{Protocol: "arp", Host: "10.0.0.2", Place: "h1"}}
	e := record.Event{Kind: record.Sent, Data: frame}
	if err := w.Event(e, record.Place{Node: "h1", Port: "eth0", RateBitsPerSecond: 1e9}); err != nil {
		t.Fatal(err)
	}
	want := `#1 0.000000000s h1:eth0 sent: ARP request: who has 10.0.0.2? tell 10.0.0.1
  L1 physical: outbound at h1:eth0, 42 bytes, 0.67 us on the wire at 1 Gbit/s
  L2 data link: Ethernet II, 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff (broadcast), carries ARP
    hint: ff:ff:ff:ff:ff:ff is everybody in this LAN; a router lets it go no further
  L2 data link: ARP request: who has 10.0.0.2? tell 10.0.0.1
    hint: a question to the LAN: every station reads a broadcast, only the owner of the address answers

`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// lines has the events of a run told by a Writer.
func lines(t *testing.T, w Writer) string {
	t.Helper()
	var b strings.Builder
	w.Out = &b
	a, c := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	frame := func(src, dst netip.Addr) []byte {
		udp := wire.AppendUDP(nil, wire.UDPHeader{Src: netip.AddrPortFrom(src, 5000), Dst: netip.AddrPortFrom(dst, 7)}, []byte("hi"))
		f := wire.AppendEthernet(nil, wire.EthernetHeader{Dst: wire.MAC{2, 0, 0, 0, 0, 2}, Src: wire.MAC{2, 0, 0, 0, 0, 1}, Type: wire.TypeIPv4})
		return append(wire.AppendIPv4(f, wire.IPv4Header{TTL: 64, Protocol: wire.ProtocolUDP, Src: src, Dst: dst}, len(udp)), udp...)
	}
	h1, h2 := record.Place{Node: "h1", Port: "eth0"}, record.Place{Node: "h2", Port: "eth0"}
	for _, e := range []struct {
		record.Event
		at record.Place
	}{
		{record.Event{At: 1000, Kind: record.Sent, Packet: 1, Data: frame(a, c)}, h1},
		{record.Event{At: 2000, Kind: record.Received, Packet: 1, Data: frame(a, c)}, h2},
		{record.Event{At: 3000, Kind: record.Dropped, Packet: 2, Why: wire.DropNoSocket, Data: frame(c, a)}, h1},
	} {
		if err := w.Event(e.Event, e.at); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestFilters(t *testing.T) {
	for _, c := range []struct {
		filter Filter
		want   int
	}{
		{Filter{}, 3},
		{Filter{Place: "h1"}, 2},
		{Filter{Place: "h2:eth0"}, 1},
		{Filter{Place: "h2:eth1"}, 0},
		{Filter{Protocol: "udp"}, 3},
		{Filter{Protocol: "tcp"}, 0},
		{Filter{Host: "10.0.0.2"}, 3},
		{Filter{Host: "10.0.0.3"}, 0},
		{Filter{Host: "64"}, 0}, // a TTL is no host
		{Filter{Number: 2}, 1},
	} {
		if got := strings.Count(lines(t, Writer{Mode: Summary, Filter: c.filter}), "\n"); got != c.want {
			t.Errorf("%+v: %d lines, want %d", c.filter, got, c.want)
		}
	}
}

func TestModes(t *testing.T) {
	want := "#1 0.000001000s h1:eth0 sent: UDP 5000 -> 7, 2 bytes of data\n#2 0.000002000s h2:eth0 received: UDP 5000 -> 7, 2 bytes of data\n" +
		"#3 0.000003000s h1:eth0 dropped (nobody listens on the port): UDP 5000 -> 7, 2 bytes of data\n"
	if got := lines(t, Writer{Mode: Summary}); got != want {
		t.Errorf("summary: got\n%swant\n%s", got, want)
	}
	verbose := lines(t, Writer{Mode: Verbose, Filter: Filter{Number: 1}})
	for _, want := range []string{"L1 physical: outbound at h1:eth0, 44 bytes\n", "byte 22 bit 0, 8 bits: Time to Live = 64\n", "byte 34 bit 0, 16 bits: Source Port = 5000\n", "68 69"} {
		if !strings.Contains(verbose, want) {
			t.Errorf("verbose has no %q:\n%s", want, verbose)
		}
	}
	var event struct {
		Number int
		Why    string
		Layers []struct {
			Name   string
			OSI    int
			Fields []struct{ Name, Value string }
		}
	}
	text := lines(t, Writer{Mode: JSON, Filter: Filter{Number: 3}})
	if err := json.Unmarshal([]byte(text), &event); err != nil {
		t.Fatal(err)
	}
	if event.Number != 3 || event.Why != "nobody listens on the port" || len(event.Layers) < 3 || event.Layers[1].Name != "IPv4" || event.Layers[1].OSI != 3 ||
		!strings.Contains(text, `"layers":[{"name":"Ethernet`) {
		t.Errorf("JSON: %+v\n%s", event, text)
	}
}

// A hint is given once.
func TestHintsAreGivenOnce(t *testing.T) {
	var b strings.Builder
	w := Writer{Out: &b}
	frame := wire.AppendEthernet(nil, wire.EthernetHeader{Dst: wire.Broadcast, Src: wire.MAC{2}, Type: wire.TypeARP})
	frame = wire.AppendARP(frame, wire.ARPPacket{Op: wire.ARPRequest, SenderIP: netip.MustParseAddr("10.0.0.1"), TargetIP: netip.MustParseAddr("10.0.0.2")})
	for range 3 {
		if err := w.Event(record.Event{Kind: record.Sent, Data: frame}, record.Place{Node: "h1", Port: "eth0"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(b.String(), "hint:"); got != 2 { // of Ethernet and of ARP
		t.Errorf("%d hints, want 2:\n%s", got, b.String())
	}
}
