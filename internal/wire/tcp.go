package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// TCPMinLen is the length of a TCP header without options in bytes.
const TCPMinLen = 20

// TCPFlags are the control bits of a segment (RFC 9293 3.1).
type TCPFlags uint8

// The flags.
const (
	TCPFin TCPFlags = 1 << iota
	TCPSyn
	TCPRst
	TCPPsh
	TCPAck
	TCPUrg
	TCPEce // RFC 3168
	TCPCwr // RFC 3168
)

var tcpFlagNames = [8]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}

// String lists the flags that are set: "SYN, ACK".
func (f TCPFlags) String() string {
	var names []string
	for i, name := range tcpFlagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Has reports whether all of the flags in want are set.
func (f TCPFlags) Has(want TCPFlags) bool { return f&want == want }

// TCP is a view of a TCP segment (RFC 9293).
type TCP []byte

// ParseTCP checks that b holds a TCP header with its options.
func ParseTCP(b []byte) (TCP, error) {
	if len(b) < TCPMinLen {
		return nil, shortError{"TCP header", len(b), TCPMinLen}
	}
	header := int(b[12]>>4) * 4
	if header < TCPMinLen {
		return nil, fmt.Errorf("TCP data offset %d bytes, want at least %d", header, TCPMinLen)
	}
	if header > len(b) {
		return nil, shortError{"TCP header with options", len(b), header}
	}
	return b, nil
}

// SrcPort is the port of the sender.
func (t TCP) SrcPort() uint16 { return binary.BigEndian.Uint16(t) }

// DstPort is the port of the receiver.
func (t TCP) DstPort() uint16 { return binary.BigEndian.Uint16(t[2:]) }

// Seq is the sequence number of the first byte of payload, or of the SYN.
func (t TCP) Seq() uint32 { return binary.BigEndian.Uint32(t[4:]) }

// Ack is the sequence number that the sender expects next, with the ACK flag.
func (t TCP) Ack() uint32 { return binary.BigEndian.Uint32(t[8:]) }

// HeaderLen is the data offset in bytes.
func (t TCP) HeaderLen() int { return int(t[12]>>4) * 4 }

// Flags are the control bits.
func (t TCP) Flags() TCPFlags { return TCPFlags(t[13]) }

// Window is the receive window, not scaled (RFC 7323 2).
func (t TCP) Window() uint16 { return binary.BigEndian.Uint16(t[14:]) }

// Checksum is the segment's, with the pseudo-header.
func (t TCP) Checksum() uint16 { return binary.BigEndian.Uint16(t[16:]) }

// Urgent is the urgent pointer, with the URG flag.
func (t TCP) Urgent() uint16 { return binary.BigEndian.Uint16(t[18:]) }

// Options are the bytes between the fixed header and the payload.
func (t TCP) Options() []byte { return t[TCPMinLen:t.HeaderLen()] }

// Payload is what the segment carries.
func (t TCP) Payload() []byte { return t[t.HeaderLen():] }

// ChecksumOK reports whether the checksum is right.
func (t TCP) ChecksumOK(src, dst netip.Addr) bool {
	return PseudoHeader(src, dst, ProtocolTCP, len(t)).Add(t).Checksum() == 0
}

// TCPOptionKind is the kind of a TCP option (IANA, TCP parameters).
type TCPOptionKind uint8

// The kinds that hopyard speaks.
const (
	TCPOptionEnd           TCPOptionKind = 0
	TCPOptionNop           TCPOptionKind = 1
	TCPOptionMSS           TCPOptionKind = 2
	TCPOptionWindowScale   TCPOptionKind = 3
	TCPOptionSACKPermitted TCPOptionKind = 4
	TCPOptionSACK          TCPOptionKind = 5
	TCPOptionTimestamps    TCPOptionKind = 8
)

// String names the option.
func (k TCPOptionKind) String() string {
	switch k {
	case TCPOptionEnd:
		return "End of Option List"
	case TCPOptionNop:
		return "No-Operation"
	case TCPOptionMSS:
		return "Maximum Segment Size"
	case TCPOptionWindowScale:
		return "Window Scale"
	case TCPOptionSACKPermitted:
		return "SACK Permitted"
	case TCPOptionSACK:
		return "SACK"
	case TCPOptionTimestamps:
		return "Timestamps"
	}
	return "Unknown Option"
}

// TCPOption is one option. Data follows kind and length.
type TCPOption struct {
	Kind TCPOptionKind
	Data []byte
}

// NextTCPOption takes the first option off b. It reports false where b is empty
// or where the option's length makes no sense: then rest is all of b.
func NextTCPOption(b []byte) (o TCPOption, rest []byte, ok bool) {
	kind, data, rest, ok := nextOption(b)
	return TCPOption{TCPOptionKind(kind), data}, rest, ok
}

// Valid reports whether the data has the length that the kind asks for; an
// unknown kind may have any.
func (o TCPOption) Valid() bool {
	switch n := len(o.Data); o.Kind {
	case TCPOptionMSS:
		return n == 2
	case TCPOptionWindowScale:
		return n == 1
	case TCPOptionSACKPermitted:
		return n == 0
	case TCPOptionSACK:
		return n > 0 && n%8 == 0
	case TCPOptionTimestamps:
		return n == 8
	}
	return true
}

// SACKBlock is bytes that have arrived, from Left up to but without Right (RFC 2018 3).
type SACKBlock struct{ Left, Right uint32 }

// Blocks is how many blocks a SACK option has.
func (o TCPOption) Blocks() int { return len(o.Data) / 8 }

// Block is the i-th block of a SACK option.
// Precondition: i < Blocks.
func (o TCPOption) Block(i int) SACKBlock {
	return SACKBlock{binary.BigEndian.Uint32(o.Data[8*i:]), binary.BigEndian.Uint32(o.Data[8*i+4:])}
}

// AppendTCPOption appends one option: kind, length, data.
func AppendTCPOption(b []byte, o TCPOption) []byte {
	if o.Kind == TCPOptionEnd || o.Kind == TCPOptionNop {
		return append(b, byte(o.Kind))
	}
	return append(append(b, byte(o.Kind), byte(2+len(o.Data))), o.Data...)
}

// AppendMSS appends a maximum segment size option (RFC 9293 3.7.1).
func AppendMSS(b []byte, mss uint16) []byte {
	return append(b, byte(TCPOptionMSS), 4, byte(mss>>8), byte(mss))
}

// AppendWindowScale appends a window scale option (RFC 7323 2.2).
func AppendWindowScale(b []byte, shift uint8) []byte {
	return append(b, byte(TCPOptionWindowScale), 3, shift)
}

// AppendSACKPermitted appends a SACK permitted option (RFC 2018 2).
func AppendSACKPermitted(b []byte) []byte { return append(b, byte(TCPOptionSACKPermitted), 2) }

// AppendSACK appends a SACK option (RFC 2018 3).
// Precondition: 1 to 4 blocks.
func AppendSACK(b []byte, blocks ...SACKBlock) []byte {
	b = append(b, byte(TCPOptionSACK), byte(2+8*len(blocks)))
	for _, block := range blocks {
		b = binary.BigEndian.AppendUint32(b, block.Left)
		b = binary.BigEndian.AppendUint32(b, block.Right)
	}
	return b
}

// AppendTimestamps appends a timestamps option (RFC 7323 3.2).
func AppendTimestamps(b []byte, value, echo uint32) []byte {
	b = append(b, byte(TCPOptionTimestamps), 10)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, value), echo)
}

// TCPHeader is what AppendTCP writes. Options are as the Append functions of
// the options wrote them, 40 bytes at most, and are filled up to a multiple of
// 4 with ends of list.
type TCPHeader struct {
	Src, Dst netip.AddrPort
	Seq, Ack uint32
	Flags    TCPFlags
	Window   uint16
	Urgent   uint16
	Options  []byte
}

// AppendTCP appends header, options and payload, checksum included.
func AppendTCP(b []byte, h TCPHeader, payload []byte) []byte {
	start := len(b)
	b = append(AppendTCPHeader(b, h), payload...)
	SetTCPChecksum(b[start:], h.Src.Addr(), h.Dst.Addr())
	return b
}

// AppendTCPHeader appends header and options. SetTCPChecksum is for when the
// payload is behind it.
func AppendTCPHeader(b []byte, h TCPHeader) []byte {
	start := len(b)
	header := TCPMinLen + (len(h.Options)+3)/4*4
	b = binary.BigEndian.AppendUint16(b, h.Src.Port())
	b = binary.BigEndian.AppendUint16(b, h.Dst.Port())
	b = binary.BigEndian.AppendUint32(b, h.Seq)
	b = binary.BigEndian.AppendUint32(b, h.Ack)
	b = append(b, byte(header/4)<<4, byte(h.Flags))
	b = binary.BigEndian.AppendUint16(b, h.Window)
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, h.Urgent)
	b = append(b, h.Options...)
	for len(b)-start < header {
		b = append(b, byte(TCPOptionEnd))
	}
	return b
}

// SetTCPChecksum puts the checksum into a whole segment.
// Precondition: it holds a header.
func SetTCPChecksum(segment []byte, src, dst netip.Addr) {
	segment[16], segment[17] = 0, 0
	sum := PseudoHeader(src, dst, ProtocolTCP, len(segment)).Add(segment).Checksum()
	binary.BigEndian.PutUint16(segment[16:], sum)
}
