package wire

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// described is a layer as text: its summary, and a line for each field with its
// place.
func described(l Layer) string {
	var b strings.Builder
	fmt.Fprintln(&b, l.Summary)
	for _, f := range l.Fields {
		fmt.Fprintf(&b, "%d.%d+%d %s: %s", f.Byte, f.Bit, f.Bits, f.Name, f.Value)
		if f.Note != "" {
			fmt.Fprintf(&b, " (%s)", f.Note)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func expectLayer(t *testing.T, frame []byte, name, want string) {
	t.Helper()
	layers := Dissect(frame)
	checkCover(t, frame, layers)
	for _, l := range layers {
		if l.Name == name {
			if got := described(l); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			return
		}
	}
	t.Errorf("there is no layer %s in %+v", name, layers)
}

// ndFrame is an ND message in its frame.
func ndFrame(body string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(body, " ", ""))
	if err != nil {
		panic(err)
	}
	src, dst := netip.MustParseAddr("fe80::1"), netip.MustParseAddr("ff02::1")
	frame := AppendEthernet(nil, EthernetHeader{Dst: Broadcast, Src: MAC{2}, Type: TypeIPv6})
	frame = AppendIPv6(frame, IPv6Header{NextHeader: ProtocolICMPv6, HopLimit: 255, Src: src, Dst: dst}, len(b))
	start := len(frame)
	frame = append(frame, b...)
	sum := PseudoHeader(src, dst, ProtocolICMPv6, len(b)).Add(frame[start:]).Checksum()
	frame[start+2], frame[start+3] = byte(sum>>8), byte(sum)
	return frame
}

func TestNeighborSolicitationFields(t *testing.T) {
	frame := ndFrame("87000000 00000000 20010db8000000000000000000000002 0101020000000001")
	expectLayer(t, frame, "ICMPv6", fmt.Sprintf(`ICMPv6 neighbor solicitation: who has 2001:db8::2?
54.0+8 Type: 135 (neighbor solicitation)
55.0+8 Code: 0
56.0+16 Checksum: 0x%04x (correct)
58.0+32 Reserved: 0x00000000
62.0+128 Target Address: 2001:db8::2
78.0+64 Option: Source Link-Layer Address: type 1, 8 bytes (02:00:00:00:00:01)
`, uint16(frame[56])<<8|uint16(frame[57])))
}

func TestRouterAdvertisementFields(t *testing.T) {
	frame := ndFrame("86000000 40800708 00000000 00000000" +
		"0304 40c0 00278d00 00093a80 00000000 20010db8000100000000000000000000" + "0501 0000 00000578")
	expectLayer(t, frame, "ICMPv6", fmt.Sprintf(`ICMPv6 router advertisement, default router for 1800 s
54.0+8 Type: 134 (router advertisement)
55.0+8 Code: 0
56.0+16 Checksum: 0x%04x (correct)
58.0+8 Cur Hop Limit: 64
59.0+1 Managed Address Configuration: 1
59.1+1 Other Configuration: 0
59.2+6 Reserved: 0x00
60.0+16 Router Lifetime: 1800 (seconds)
62.0+32 Reachable Time: 0 (milliseconds, 0: not said)
66.0+32 Retrans Timer: 0 (milliseconds, 0: not said)
70.0+256 Option: Prefix Information: type 3, 32 bytes (2001:db8:1::/64, valid 2592000 s, preferred 604800 s, on this link, hosts make addresses of it)
102.0+64 Option: MTU: type 5, 8 bytes (1400 bytes)
`, uint16(frame[56])<<8|uint16(frame[57])))
}

func TestNeighborAdvertisementFields(t *testing.T) {
	frame := ndFrame("88000000 60000000 20010db8000000000000000000000002 0201020000000002")
	expectLayer(t, frame, "ICMPv6", fmt.Sprintf(`ICMPv6 neighbor advertisement: 2001:db8::2 is here, at 02:00:00:00:00:02
54.0+8 Type: 136 (neighbor advertisement)
55.0+8 Code: 0
56.0+16 Checksum: 0x%04x (correct)
58.0+1 Router: 0
58.1+1 Solicited: 1
58.2+1 Override: 1
58.3+29 Reserved: 0x00000000
62.0+128 Target Address: 2001:db8::2
78.0+64 Option: Target Link-Layer Address: type 2, 8 bytes (02:00:00:00:00:02)
`, uint16(frame[56])<<8|uint16(frame[57])))
}

// Every code of ICMP's unreachable has its word.
func TestICMPCodes(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.1.2")
	for code, want := range map[uint8]string{
		ICMPNetUnreachable: "network", ICMPPortUnreachable: "port", ICMPFragmentationNeeded: "fragmentation needed and DF set, MTU 1400",
		ICMPAdminProhibited: "communication administratively prohibited", ICMPPrecedenceCutoff: "precedence cutoff in effect",
	} {
		quoted := AppendIPv4(nil, IPv4Header{TTL: 1, Protocol: ProtocolUDP, Src: b, Dst: a}, 8)
		m := AppendICMP(nil, ICMPHeader{Type: ICMPUnreachable, Code: code, Rest: 1400}, append(quoted, make([]byte, 8)...))
		frame := AppendEthernet(nil, EthernetHeader{Dst: Broadcast, Src: MAC{2}, Type: TypeIPv4})
		frame = append(AppendIPv4(frame, IPv4Header{TTL: 64, Protocol: ProtocolICMP, Src: a, Dst: b}, len(m)), m...)
		for _, l := range Dissect(frame) {
			if l.Name == "ICMP" && l.Summary != "ICMP destination unreachable: "+want {
				t.Errorf("code %d: %q, want %q", code, l.Summary, want)
			}
		}
	}
}

func TestIPv6OptionFields(t *testing.T) {
	frame := AppendEthernet(nil, EthernetHeader{Dst: Broadcast, Src: MAC{2}, Type: TypeIPv6})
	extension := AppendIPv6Options(nil, ProtocolNone, AppendIPv6RouterAlert(nil, 0))
	frame = AppendIPv6(frame, IPv6Header{NextHeader: ProtocolHopByHop, HopLimit: 1, Src: netip.MustParseAddr("fe80::1"), Dst: netip.MustParseAddr("ff02::2")}, len(extension))
	frame = append(frame, extension...)
	expectLayer(t, frame, ProtocolHopByHop.String(), fmt.Sprintf(`%s, 8 bytes, then %s
54.0+8 Next Header: 59 (%s)
55.0+8 Hdr Ext Len: 0 (8 bytes)
56.0+32 Option: Router Alert: type 5, 0000 (multicast listener discovery)
60.0+16 Option: PadN: type 1, 
`, ProtocolHopByHop, ProtocolNone, ProtocolNone))
}
