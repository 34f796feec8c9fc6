package wire

import (
	"net/netip"
	"testing"
)

func sampleFrames() [][]byte {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.1.2")
	eth := func(t EtherType) []byte {
		return AppendEthernet(nil, EthernetHeader{Dst: Broadcast, Src: MAC{2}, Type: t})
	}
	arp := AppendARP(eth(TypeARP), ARPPacket{Op: ARPRequest, SenderIP: a, TargetIP: b})
	tcp := AppendTCP(nil, TCPHeader{
		Src: netip.AddrPortFrom(a, 1), Dst: netip.AddrPortFrom(b, 2), Flags: TCPSyn,
		Options: AppendSACK(AppendTimestamps(AppendMSS(nil, 1460), 1, 2), SACKBlock{3, 4}),
	}, []byte("hi"))
	udp := AppendUDP(nil, UDPHeader{netip.AddrPortFrom(a, 40000), netip.AddrPortFrom(b, 7)}, []byte("hello"))
	ip := func(p Protocol, o, payload []byte) []byte {
		return append(AppendIPv4(nil, IPv4Header{TTL: 64, Protocol: p, Src: a, Dst: b, Options: o}, len(payload)), payload...)
	}
	quote := AppendICMP(nil, ICMPHeader{Type: ICMPTimeExceeded}, ip(ProtocolUDP, nil, udp)[:28])
	a6 := netip.MustParseAddr("fe80::1")
	echo6 := AppendICMPv6(nil, ICMPv6Header{Type: ICMPv6Echo, Src: a6, Dst: a6}, []byte("x"))
	ip6 := AppendIPv6(eth(TypeIPv6), IPv6Header{NextHeader: ProtocolICMPv6, HopLimit: 64, Src: a6, Dst: a6}, len(echo6))
	return [][]byte{
		arp, append(arp, make([]byte, 18)...), append(eth(TypeIPv4), ip(ProtocolTCP, nil, tcp)...),
		append(eth(TypeIPv4), ip(ProtocolUDP, AppendRecordRoute(nil, 3), udp)...),
		append(eth(TypeIPv4), ip(ProtocolICMP, nil, quote)...), append(ip6, echo6...),
	}
}

// checkCover fails where a field leaves the frame, or a byte has no layer or field.
func checkCover(t *testing.T, frame []byte, layers []Layer) {
	t.Helper()
	covered := make([]bool, 8*len(frame))
	for _, l := range layers {
		for _, f := range l.Fields {
			first := 8*f.Byte + f.Bit
			if first < 8*l.Start || first+f.Bits > 8*l.End || l.End > len(frame) {
				t.Fatalf("%s: field %+v leaves [%d:%d]", l.Name, f, l.Start, l.End)
			}
			for i := range f.Bits {
				covered[first+i] = true
			}
		}
	}
	for i, ok := range covered {
		if !ok {
			t.Fatalf("byte %d bit %d has no field: %+v", i/8, i%8, layers)
		}
	}
}

func TestDissectCoversEveryBit(t *testing.T) {
	for _, frame := range sampleFrames() {
		layers := Dissect(frame)
		checkCover(t, frame, layers)
		for _, l := range layers {
			if l.Problem != "" {
				t.Errorf("%s: %s", l.Summary, l.Problem)
			}
		}
	}
}

func FuzzDissect(f *testing.F) {
	for _, frame := range sampleFrames() {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) { checkCover(t, frame, Dissect(frame)) })
}
