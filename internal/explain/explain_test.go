package explain

import (
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
  L1 physical: 42 bytes on h1:eth0, 0.67 us on the wire at 1000 Mbit/s
  L2 data link: Ethernet II, 02:00:00:00:00:01 -> ff:ff:ff:ff:ff:ff (broadcast), carries ARP
  L2 data link: ARP request: who has 10.0.0.2? tell 10.0.0.1
    hint: a question to the LAN: every station reads a broadcast, only the owner of the address answers

`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
