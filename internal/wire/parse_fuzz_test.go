package wire

import (
	"bytes"
	"net/netip"
	"testing"
)

var (
	fuzzSrc = netip.MustParseAddr("10.0.0.1")
	fuzzDst = netip.MustParseAddr("10.0.0.2")
	fuzzSix = netip.MustParseAddr("fd00::1")
)

func sampleUDP() []byte {
	return AppendUDP(nil, UDPHeader{Src: netip.AddrPortFrom(fuzzSrc, 1000), Dst: netip.AddrPortFrom(fuzzDst, 7)}, []byte("hello"))
}

func sampleIPv4(options []byte) []byte {
	u := sampleUDP()
	return append(AppendIPv4(nil, IPv4Header{TTL: 64, ID: 7, Protocol: ProtocolUDP, Src: fuzzSrc, Dst: fuzzDst, Options: options}, len(u)), u...)
}

func FuzzParseEthernet(f *testing.F) {
	f.Add(append(AppendEthernet(nil, EthernetHeader{Dst: Broadcast, Src: MAC{2}, Type: TypeARP}), 1, 2, 3))
	f.Add(append(AppendEthernet(nil, EthernetHeader{Dst: Broadcast, Src: MAC{2}, Type: TypeIPv4, VLAN: 5, Priority: 3}), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEthernet(b)
		if err != nil {
			return
		}
		h := EthernetHeader{Dst: e.Dst(), Src: e.Src(), Type: e.Type(), VLAN: e.VLAN(), Priority: e.Priority()}
		if e.Tagged() && e[14]&0x10 != 0 || e.Tagged() && h.VLAN == 0 && h.Priority == 0 {
			return // the drop eligible bit and a tag of nothing are not written
		}
		if again := append(AppendEthernet(nil, h), e.Payload()...); !bytes.Equal(again, b) {
			t.Errorf("% x\nwas % x", again, b)
		}
	})
}

func FuzzParseARP(f *testing.F) {
	f.Add(AppendARP(nil, ARPPacket{Op: ARPRequest, SenderMAC: MAC{2}, SenderIP: fuzzSrc, TargetIP: fuzzDst}))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseARP(b)
		if err != nil {
			return
		}
		again := AppendARP(nil, ARPPacket{Op: a.Op(), SenderMAC: a.SenderMAC(), TargetMAC: a.TargetMAC(), SenderIP: a.SenderIP(), TargetIP: a.TargetIP()})
		if !bytes.Equal(again, a) {
			t.Errorf("% x\nwas % x", again, a)
		}
	})
}

func FuzzParseIPv4(f *testing.F) {
	f.Add(sampleIPv4(nil))
	f.Add(sampleIPv4([]byte{148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseIPv4(b)
		if err != nil {
			return
		}
		rest := p.Options()
		for len(rest) > 0 {
			_, after, ok := NextIPv4Option(rest)
			if !ok {
				break
			}
			if len(after) >= len(rest) {
				t.Fatal("an option took nothing")
			}
			rest = after
		}
		good := p.ChecksumOK()
		if p.TTL() > 0 {
			p.DecrementTTL()
			// RFC 1624: the update keeps a good checksum good.
			if good && !p.ChecksumOK() {
				t.Error("the TTL was counted down and the checksum became wrong")
			}
		}
		if p.UpdateChecksum(); !p.ChecksumOK() {
			t.Error("a checksum that was computed is wrong")
		}
	})
}

func FuzzParseIPv6(f *testing.F) {
	f.Add(append(AppendIPv6(nil, IPv6Header{NextHeader: ProtocolUDP, HopLimit: 64, Src: fuzzSix, Dst: fuzzSix}, 4), 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseIPv6(b)
		if err != nil {
			return
		}
		h := IPv6Header{TrafficClass: p.TrafficClass(), FlowLabel: p.FlowLabel(), NextHeader: p.NextHeader(), HopLimit: p.HopLimit(), Src: p.Src(), Dst: p.Dst()}
		if again := append(AppendIPv6(nil, h, p.PayloadLen()), p.Payload()...); !bytes.Equal(again, p) {
			t.Errorf("% x\nwas % x", again, p)
		}
	})
}

func FuzzParseUDP(f *testing.F) {
	f.Add(sampleUDP())
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := ParseUDP(b)
		if err != nil {
			return
		}
		u.ChecksumOK(fuzzSrc, fuzzDst)
		h := UDPHeader{Src: netip.AddrPortFrom(fuzzSrc, u.SrcPort()), Dst: netip.AddrPortFrom(fuzzDst, u.DstPort())}
		again := UDP(AppendUDP(nil, h, u.Payload()))
		if !again.ChecksumOK(fuzzSrc, fuzzDst) || again.Checksum() == 0 || !bytes.Equal(again.Payload(), u.Payload()) {
			t.Errorf("% x\nwas % x", again, u)
		}
	})
}

func FuzzParseICMP(f *testing.F) {
	f.Add(AppendICMP(nil, ICMPHeader{Type: ICMPEcho, Rest: EchoRest(1, 2)}, []byte("hello")))
	f.Add(AppendICMP(nil, ICMPHeader{Type: ICMPUnreachable, Code: ICMPPortUnreachable}, sampleIPv4(nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseICMP(b)
		if err != nil {
			return
		}
		if m.IsError() {
			_, _ = ParseQuotedIPv4(m.Payload())
		}
		again := ICMP(AppendICMP(nil, ICMPHeader{Type: m.Type(), Code: m.Code(), Rest: m.Rest()}, m.Payload()))
		if !again.ChecksumOK() || !bytes.Equal(again[4:], m[4:]) {
			t.Errorf("% x\nwas % x", again, m)
		}
	})
}

func FuzzParseICMPv6(f *testing.F) {
	f.Add(AppendICMPv6(nil, ICMPv6Header{Type: ICMPv6Echo, Rest: EchoRest(1, 2), Src: fuzzSix, Dst: fuzzSix}, []byte("hello")))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseICMPv6(b)
		if err != nil {
			return
		}
		if m.IsError() {
			_, _ = ParseQuotedIPv6(m.Payload())
		}
		again := ICMPv6(AppendICMPv6(nil, ICMPv6Header{Type: m.Type(), Code: m.Code(), Rest: m.Rest(), Src: fuzzSix, Dst: fuzzSix}, m.Payload()))
		if !again.ChecksumOK(fuzzSix, fuzzSix) || !bytes.Equal(again[4:], m[4:]) {
			t.Errorf("% x\nwas % x", again, m)
		}
	})
}

func FuzzParseTCP(f *testing.F) {
	options := AppendTimestamps(AppendSACKPermitted(AppendMSS(nil, 1460)), 1, 2)
	f.Add(AppendTCP(nil, TCPHeader{Src: netip.AddrPortFrom(fuzzSrc, 1), Dst: netip.AddrPortFrom(fuzzDst, 80), Flags: TCPSyn, Options: options}, []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseTCP(b)
		if err != nil {
			return
		}
		for rest := p.Options(); len(rest) > 0; {
			o, after, ok := NextTCPOption(rest)
			if !ok {
				break
			}
			if len(after) >= len(rest) {
				t.Fatal("an option took nothing")
			}
			if o.Valid() && o.Kind == TCPOptionSACK {
				for i := range o.Blocks() {
					o.Block(i)
				}
			}
			rest = after
		}
		h := TCPHeader{
			Src: netip.AddrPortFrom(fuzzSrc, p.SrcPort()), Dst: netip.AddrPortFrom(fuzzDst, p.DstPort()),
			Seq: p.Seq(), Ack: p.Ack(), Flags: p.Flags(), Window: p.Window(), Urgent: p.Urgent(), Options: p.Options(),
		}
		again := TCP(AppendTCP(nil, h, p.Payload()))
		if !again.ChecksumOK(fuzzSrc, fuzzDst) || !bytes.Equal(again.Options(), p.Options()) || !bytes.Equal(again.Payload(), p.Payload()) || again.Flags() != p.Flags() {
			t.Errorf("% x\nwas % x", again, p)
		}
	})
}

// Checksums of a known packet: the example of RFC 1071 section 3, and an IPv4
// header whose checksum is well known.
func TestChecksum(t *testing.T) {
	if got := Sum(0).Add([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}).Checksum(); got != ^uint16(0xddf2) {
		t.Errorf("RFC 1071: %04x", got)
	}
	header := IPv4{0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7}
	if !header.ChecksumOK() || header.Checksum() != 0xb861 {
		t.Error("the header's checksum is right and was taken for wrong")
	}
	header[8]--
	if header.ChecksumOK() {
		t.Error("a header that changed has a good checksum")
	}
	if Sum(0).Add([]byte{1, 2, 3}).Checksum() != Sum(0).Add([]byte{1, 2, 3, 0}).Checksum() {
		t.Error("an odd length is not filled up with a zero")
	}
}

// What is on the way of every packet allocates nothing.
func TestParseAndAppendDoNotAllocate(t *testing.T) {
	packet, buffer := sampleIPv4(nil), make([]byte, 0, 200)
	payload := []byte("hello")
	if n := testing.AllocsPerRun(100, func() {
		ip, _ := ParseIPv4(packet)
		u, _ := ParseUDP(ip.Payload())
		b := AppendEthernet(buffer, EthernetHeader{Type: TypeIPv4})
		b = AppendIPv4(b, IPv4Header{TTL: ip.TTL(), Protocol: ip.Protocol(), Src: ip.Src(), Dst: ip.Dst()}, UDPLen+len(payload))
		b = AppendUDP(b, UDPHeader{Src: netip.AddrPortFrom(fuzzSrc, u.SrcPort()), Dst: netip.AddrPortFrom(fuzzDst, 7)}, payload)
		b = AppendARP(b, ARPPacket{Op: ARPReply, SenderIP: fuzzSrc, TargetIP: fuzzDst})
		b = AppendICMP(b, ICMPHeader{Type: ICMPEcho}, payload)
		_ = AppendTCP(b, TCPHeader{Src: netip.AddrPortFrom(fuzzSrc, 1), Dst: netip.AddrPortFrom(fuzzDst, 2)}, nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkChecksum(b *testing.B) {
	packet := make([]byte, 1500)
	b.SetBytes(int64(len(packet)))
	for b.Loop() {
		Sum(0).Add(packet).Checksum()
	}
}
