package wire

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Sum is a running one's complement sum (RFC 1071). Only the last of the parts
// that are added may have an odd length.
type Sum uint64

// Add returns the sum with b added to it.
func (s Sum) Add(b []byte) Sum {
	sum := uint64(s)
	var carry uint64
	for len(b) >= 32 { // four at once: a full segment in half the time (BenchmarkChecksum)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	sum, carry = bits.Add64(sum, 0, carry)
	for len(b) >= 2 {
		sum, carry = bits.Add64(sum, uint64(binary.BigEndian.Uint16(b)), carry)
		b = b[2:]
	}
	if len(b) > 0 {
		sum, carry = bits.Add64(sum, uint64(b[0])<<8, carry)
	}
	sum, carry = bits.Add64(sum, 0, carry)
	return Sum(sum + carry)
}

// AddUint16 returns the sum with v added to it.
func (s Sum) AddUint16(v uint16) Sum {
	sum, carry := bits.Add64(uint64(s), uint64(v), 0)
	return Sum(sum + carry)
}

// Checksum is the complement of the sum, as it goes into a header.
func (s Sum) Checksum() uint16 {
	v := uint64(s)
	v = v>>32 + v&0xffffffff
	v = v>>16 + v&0xffff
	v = v>>16 + v&0xffff
	v = v>>16 + v&0xffff
	return ^uint16(v)
}

// PseudoHeader starts the sum of an upper-layer packet: RFC 9293 3.1 for IPv4,
// RFC 8200 8.1 for IPv6.
func PseudoHeader(src, dst netip.Addr, protocol Protocol, length int) Sum {
	var s Sum
	if src.Is4() {
		a, b := src.As4(), dst.As4()
		s = s.Add(a[:]).Add(b[:])
	} else {
		a, b := src.As16(), dst.As16()
		s = s.Add(a[:]).Add(b[:])
	}
	return s.AddUint16(uint16(length >> 16)).AddUint16(uint16(length)).AddUint16(uint16(protocol))
}

// updateChecksum returns a checksum after one 16-bit word under it changed
// (RFC 1624 eqn. 3).
func updateChecksum(checksum, before, after uint16) uint16 {
	sum := uint32(^checksum) + uint32(^before) + uint32(after)
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum)
}
