package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// ARPLen is the length of an ARP packet for IPv4 over Ethernet in bytes.
const ARPLen = 28

// ARPOp says what an ARP packet wants.
type ARPOp uint16

// The operations of RFC 826.
const (
	ARPRequest ARPOp = 1
	ARPReply   ARPOp = 2
)

// String names the operation.
func (o ARPOp) String() string {
	switch o {
	case ARPRequest:
		return "request"
	case ARPReply:
		return "reply"
	}
	return fmt.Sprintf("operation %d", uint16(o))
}

// ARP is a view of an ARP packet for IPv4 over Ethernet (RFC 826).
type ARP []byte

// ParseARP checks that b holds an ARP packet for IPv4 over Ethernet.
func ParseARP(b []byte) (ARP, error) {
	if len(b) < ARPLen {
		return nil, shortError{"ARP packet", len(b), ARPLen}
	}
	if binary.BigEndian.Uint16(b) != 1 || EtherType(binary.BigEndian.Uint16(b[2:])) != TypeIPv4 || b[4] != 6 || b[5] != 4 {
		return nil, fmt.Errorf("ARP packet is not for IPv4 over Ethernet: hardware %d/%d, protocol 0x%04x/%d",
			binary.BigEndian.Uint16(b), b[4], binary.BigEndian.Uint16(b[2:]), b[5])
	}
	return b[:ARPLen], nil
}

// Op is what the packet wants.
func (a ARP) Op() ARPOp { return ARPOp(binary.BigEndian.Uint16(a[6:])) }

// SenderMAC is the hardware address of who sends it.
func (a ARP) SenderMAC() MAC { return MAC(a[8:14]) }

// SenderIP is the protocol address of who sends it.
func (a ARP) SenderIP() netip.Addr { return netip.AddrFrom4([4]byte(a[14:18])) }

// TargetMAC is zero in a request.
func (a ARP) TargetMAC() MAC { return MAC(a[18:24]) }

// TargetIP is the address asked for.
func (a ARP) TargetIP() netip.Addr { return netip.AddrFrom4([4]byte(a[24:28])) }

// ARPPacket is what AppendARP writes.
type ARPPacket struct {
	Op                   ARPOp
	SenderMAC, TargetMAC MAC
	SenderIP, TargetIP   netip.Addr
}

// AppendARP appends an ARP packet for IPv4 over Ethernet.
// Precondition: both addresses are IPv4.
func AppendARP(b []byte, p ARPPacket) []byte {
	b = append(b, 0, 1, byte(TypeIPv4>>8), byte(TypeIPv4&0xff), 6, 4)
	b = binary.BigEndian.AppendUint16(b, uint16(p.Op))
	sender, target := p.SenderIP.As4(), p.TargetIP.As4()
	b = append(append(b, p.SenderMAC[:]...), sender[:]...)
	return append(append(b, p.TargetMAC[:]...), target[:]...)
}
