package wire

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// NDHopLimit is the hop limit of every ND message: one that a router has passed
// on cannot have it (RFC 4861 3.1).
const NDHopLimit = 255

// NDOptionType is the type of an ND option.
type NDOptionType uint8

// The options that hopyard speaks.
const (
	NDSourceLinkLayer  NDOptionType = 1
	NDTargetLinkLayer  NDOptionType = 2
	NDPrefix           NDOptionType = 3
	NDRedirectedHeader NDOptionType = 4
	NDMTU              NDOptionType = 5
	NDRDNSS            NDOptionType = 25 // RFC 8106 5.1
)

// String names the option.
func (t NDOptionType) String() string {
	switch t {
	case NDSourceLinkLayer:
		return "Source Link-Layer Address"
	case NDTargetLinkLayer:
		return "Target Link-Layer Address"
	case NDPrefix:
		return "Prefix Information"
	case NDRedirectedHeader:
		return "Redirected Header"
	case NDMTU:
		return "MTU"
	case NDRDNSS:
		return "Recursive DNS Server"
	}
	return "Unknown Option"
}

// NDOption is one option of an ND message. Data follows type and length.
type NDOption struct {
	Type NDOptionType
	Data []byte
}

// NextNDOption takes the first option off b. It reports false where b is empty
// or the option's length is 0 or too long: then rest is all of b.
func NextNDOption(b []byte) (o NDOption, rest []byte, ok bool) {
	if len(b) < 2 || b[1] == 0 || 8*int(b[1]) > len(b) {
		return NDOption{}, b, false
	}
	end := 8 * int(b[1])
	return NDOption{NDOptionType(b[0]), b[2:end]}, b[end:], true
}

// NDOptions are the options of an ND message, as they lie behind its fixed part.
type NDOptions []byte

// Find is the first option of a type.
func (o NDOptions) Find(t NDOptionType) (NDOption, bool) {
	for b := []byte(o); ; {
		option, rest, ok := NextNDOption(b)
		if !ok || option.Type == t {
			return option, ok
		}
		b = rest
	}
}

// LinkLayer is the Ethernet address of a link-layer address option.
func (o NDOptions) LinkLayer(t NDOptionType) (MAC, bool) {
	option, ok := o.Find(t)
	if !ok || len(option.Data) != 6 {
		return MAC{}, false
	}
	return MAC(option.Data), true
}

// MTU is that of an MTU option (RFC 4861 4.6.4).
func (o NDOptions) MTU() (int, bool) {
	option, ok := o.Find(NDMTU)
	if !ok || len(option.Data) != 6 {
		return 0, false
	}
	return int(binary.BigEndian.Uint32(option.Data[2:])), true
}

// Redirected is the packet that a redirected header option quotes.
func (o NDOptions) Redirected() []byte {
	option, ok := o.Find(NDRedirectedHeader)
	if !ok {
		return nil
	}
	return option.Data[6:]
}

// Infinity is the lifetime that never ends (RFC 4861 4.6.2), in seconds.
const Infinity uint32 = 0xffffffff

// PrefixInformation is the prefix information option (RFC 4861 4.6.2).
type PrefixInformation struct {
	Prefix           netip.Prefix // bits beyond the length are as sent
	OnLink           bool         // L: addresses of the prefix are on this link
	Autonomous       bool         // A: addresses may be formed from the prefix
	ValidSeconds     uint32
	PreferredSeconds uint32
}

// PrefixInformation reads a prefix information option; false where the option is
// another or makes no sense.
func (o NDOption) PrefixInformation() (PrefixInformation, bool) {
	if o.Type != NDPrefix || len(o.Data) != 30 || o.Data[0] > 128 {
		return PrefixInformation{}, false
	}
	return PrefixInformation{
		Prefix:           netip.PrefixFrom(netip.AddrFrom16([16]byte(o.Data[14:30])), int(o.Data[0])),
		OnLink:           o.Data[1]&0x80 != 0,
		Autonomous:       o.Data[1]&0x40 != 0,
		ValidSeconds:     binary.BigEndian.Uint32(o.Data[2:]),
		PreferredSeconds: binary.BigEndian.Uint32(o.Data[6:]),
	}, true
}

// RDNSS reads an option of recursive DNS servers: how long they may be used, in
// seconds, and how many there are; false where the option is another.
func (o NDOption) RDNSS() (seconds uint32, servers int, ok bool) {
	// RFC 8106 5.3.1: at least one address, and whole ones.
	if o.Type != NDRDNSS || len(o.Data) < 22 || (len(o.Data)-6)%16 != 0 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(o.Data[2:]), (len(o.Data) - 6) / 16, true
}

// Server is the i-th address of an RDNSS option.
// Precondition: i < servers.
func (o NDOption) Server(i int) netip.Addr {
	return netip.AddrFrom16([16]byte(o.Data[6+16*i:]))
}

// AppendLinkLayerOption appends a source or target link-layer address option.
func AppendLinkLayerOption(b []byte, t NDOptionType, m MAC) []byte {
	return append(append(b, byte(t), 1), m[:]...)
}

// AppendPrefixInformation appends a prefix information option.
func AppendPrefixInformation(b []byte, p PrefixInformation) []byte {
	var flags byte
	if p.OnLink {
		flags |= 0x80
	}
	if p.Autonomous {
		flags |= 0x40
	}
	b = append(b, byte(NDPrefix), 4, byte(p.Prefix.Bits()), flags)
	b = binary.BigEndian.AppendUint32(b, p.ValidSeconds)
	b = binary.BigEndian.AppendUint32(b, p.PreferredSeconds)
	prefix := p.Prefix.Addr().As16()
	return append(append(b, 0, 0, 0, 0), prefix[:]...)
}

// AppendMTUOption appends an MTU option.
func AppendMTUOption(b []byte, mtu int) []byte {
	return binary.BigEndian.AppendUint32(append(b, byte(NDMTU), 1, 0, 0), uint32(mtu))
}

// AppendRDNSS appends an option of recursive DNS servers.
func AppendRDNSS(b []byte, seconds uint32, servers ...netip.Addr) []byte {
	b = append(b, byte(NDRDNSS), byte(1+2*len(servers)), 0, 0)
	b = binary.BigEndian.AppendUint32(b, seconds)
	for _, s := range servers {
		a := s.As16()
		b = append(b, a[:]...)
	}
	return b
}

// AppendRedirectedHeader appends a redirected header option with as much of the
// packet as is given, filled up to a multiple of 8 bytes with zeros.
func AppendRedirectedHeader(b []byte, packet []byte) []byte {
	size := (8 + len(packet) + 7) / 8
	b = append(b, byte(NDRedirectedHeader), byte(size), 0, 0, 0, 0, 0, 0)
	b = append(b, packet...)
	for range 8*size - 8 - len(packet) {
		b = append(b, 0)
	}
	return b
}

// Lengths of the fixed parts of ND messages in bytes.
const (
	RouterSolicitationLen    = 8
	RouterAdvertisementLen   = 16
	NeighborSolicitationLen  = 24
	NeighborAdvertisementLen = 24
	NDRedirectLen            = 40
)

// RouterSolicitation is a view of a router solicitation (RFC 4861 4.1).
type RouterSolicitation []byte

// ParseRouterSolicitation checks the length.
func ParseRouterSolicitation(b []byte) (RouterSolicitation, error) {
	return ndMessage(b, "router solicitation", RouterSolicitationLen)
}

// Options are the message's options.
func (m RouterSolicitation) Options() NDOptions { return NDOptions(m[RouterSolicitationLen:]) }

// RouterAdvertisement is a view of a router advertisement (RFC 4861 4.2).
type RouterAdvertisement []byte

// ParseRouterAdvertisement checks the length.
func ParseRouterAdvertisement(b []byte) (RouterAdvertisement, error) {
	return ndMessage(b, "router advertisement", RouterAdvertisementLen)
}

// HopLimit is what hosts should use; 0: not told.
func (m RouterAdvertisement) HopLimit() uint8 { return m[4] }

// Managed is the M flag: addresses come by DHCPv6.
func (m RouterAdvertisement) Managed() bool { return m[5]&0x80 != 0 }

// Other is the O flag: other settings come by DHCPv6.
func (m RouterAdvertisement) Other() bool { return m[5]&0x40 != 0 }

// LifetimeSeconds is how long the sender is a default router; 0: it is none.
func (m RouterAdvertisement) LifetimeSeconds() int { return int(binary.BigEndian.Uint16(m[6:])) }

// ReachableMilliseconds is the reachable time; 0: not told.
func (m RouterAdvertisement) ReachableMilliseconds() uint32 { return binary.BigEndian.Uint32(m[8:]) }

// RetransMilliseconds is the time between solicitations; 0: not told.
func (m RouterAdvertisement) RetransMilliseconds() uint32 { return binary.BigEndian.Uint32(m[12:]) }

// Options are the message's options.
func (m RouterAdvertisement) Options() NDOptions { return NDOptions(m[RouterAdvertisementLen:]) }

// NeighborSolicitation is a view of a neighbour solicitation (RFC 4861 4.3).
type NeighborSolicitation []byte

// ParseNeighborSolicitation checks the length.
func ParseNeighborSolicitation(b []byte) (NeighborSolicitation, error) {
	return ndMessage(b, "neighbor solicitation", NeighborSolicitationLen)
}

// Target is the address asked for.
func (m NeighborSolicitation) Target() netip.Addr { return netip.AddrFrom16([16]byte(m[8:24])) }

// Options are the message's options.
func (m NeighborSolicitation) Options() NDOptions { return NDOptions(m[NeighborSolicitationLen:]) }

// NeighborAdvertisement is a view of a neighbour advertisement (RFC 4861 4.4).
type NeighborAdvertisement []byte

// ParseNeighborAdvertisement checks the length.
func ParseNeighborAdvertisement(b []byte) (NeighborAdvertisement, error) {
	return ndMessage(b, "neighbor advertisement", NeighborAdvertisementLen)
}

// Router is the R flag: the sender is a router.
func (m NeighborAdvertisement) Router() bool { return m[4]&0x80 != 0 }

// Solicited is the S flag: this answers a solicitation.
func (m NeighborAdvertisement) Solicited() bool { return m[4]&0x40 != 0 }

// Override is the O flag: the address told replaces one that is known.
func (m NeighborAdvertisement) Override() bool { return m[4]&0x20 != 0 }

// Target is the address told of.
func (m NeighborAdvertisement) Target() netip.Addr { return netip.AddrFrom16([16]byte(m[8:24])) }

// Options are the message's options.
func (m NeighborAdvertisement) Options() NDOptions { return NDOptions(m[NeighborAdvertisementLen:]) }

// NDRedirect is a view of a redirect (RFC 4861 4.5).
type NDRedirect []byte

// ParseNDRedirect checks the length.
func ParseNDRedirect(b []byte) (NDRedirect, error) { return ndMessage(b, "redirect", NDRedirectLen) }

// Target is the better first hop; it equals Destination where that is on the link.
func (m NDRedirect) Target() netip.Addr { return netip.AddrFrom16([16]byte(m[8:24])) }

// Destination is where the packet went that caused the redirect.
func (m NDRedirect) Destination() netip.Addr { return netip.AddrFrom16([16]byte(m[24:40])) }

// Options are the message's options.
func (m NDRedirect) Options() NDOptions { return NDOptions(m[NDRedirectLen:]) }

func ndMessage(b []byte, what string, want int) ([]byte, error) {
	if len(b) < want {
		return nil, shortError{what, len(b), want}
	}
	return b, nil
}

// NDContext is what the IP header says of an ND message.
type NDContext struct {
	Src, Dst netip.Addr
	HopLimit uint8
}

// The errors of CheckND.
var (
	errNDHopLimit    = errors.New("hop limit is not 255: the message may come from beyond a router")
	errNDCode        = errors.New("code is not 0")
	errNDOption      = errors.New("an option of length 0, or cut short")
	errNDSource      = errors.New("source is not a link-local address")
	errNDUnspecified = errors.New("a link-layer address from a sender without an IP address")
	errNDTarget      = errors.New("target is a multicast address")
	errNDProbe       = errors.New("duplicate address probe not sent to a solicited-node address")
	errNDSolicited   = errors.New("solicited advertisement sent to a multicast address")
	errNDDestination = errors.New("destination of the redirect is a multicast address")
	errNDGateway     = errors.New("target of the redirect is neither a link-local address nor the destination")
	errNDType        = errors.New("not an ND message")
)

// CheckND reports what makes an ND message invalid, so that it must be dropped
// in silence: RFC 4861 6.1.1, 6.1.2, 7.1.1, 7.1.2 and 8.1. It leaves the checksum
// to ICMPv6.ChecksumOK, and to the receiver of a redirect that its sender is the
// router in use.
func CheckND(b []byte, c NDContext) error {
	m, err := ParseICMPv6(b)
	switch {
	case err != nil:
		return err
	case c.HopLimit != NDHopLimit:
		return errNDHopLimit
	case m.Code() != 0:
		return errNDCode
	}
	switch m.Type() {
	case ICMPv6RouterSolicitation:
		return checkRouterSolicitation(b, c)
	case ICMPv6RouterAdvertisement:
		return checkRouterAdvertisement(b, c)
	case ICMPv6NeighborSolicitation:
		return checkNeighborSolicitation(b, c)
	case ICMPv6NeighborAdvertisement:
		return checkNeighborAdvertisement(b, c)
	case ICMPv6Redirect:
		return checkRedirect(b, c)
	}
	return errNDType
}

// check reports an option of length 0 or one that is cut short.
func (o NDOptions) check() error {
	for b := []byte(o); len(b) > 0; {
		_, rest, ok := NextNDOption(b)
		if !ok {
			return errNDOption
		}
		b = rest
	}
	return nil
}

func checkRouterSolicitation(b []byte, c NDContext) error {
	m, err := ParseRouterSolicitation(b)
	if err != nil {
		return err
	}
	if _, has := m.Options().Find(NDSourceLinkLayer); has && c.Src.IsUnspecified() {
		return errNDUnspecified
	}
	return m.Options().check()
}

func checkRouterAdvertisement(b []byte, c NDContext) error {
	m, err := ParseRouterAdvertisement(b)
	if err != nil {
		return err
	}
	if !c.Src.IsLinkLocalUnicast() {
		return errNDSource
	}
	return m.Options().check()
}

func checkNeighborSolicitation(b []byte, c NDContext) error {
	m, err := ParseNeighborSolicitation(b)
	if err != nil {
		return err
	}
	if m.Target().IsMulticast() {
		return errNDTarget
	}
	if c.Src.IsUnspecified() {
		if !isSolicitedNode(c.Dst) {
			return errNDProbe
		}
		if _, has := m.Options().Find(NDSourceLinkLayer); has {
			return errNDUnspecified
		}
	}
	return m.Options().check()
}

func checkNeighborAdvertisement(b []byte, c NDContext) error {
	m, err := ParseNeighborAdvertisement(b)
	switch {
	case err != nil:
		return err
	case m.Target().IsMulticast():
		return errNDTarget
	case m.Solicited() && c.Dst.IsMulticast():
		return errNDSolicited
	}
	return m.Options().check()
}

func checkRedirect(b []byte, c NDContext) error {
	m, err := ParseNDRedirect(b)
	switch {
	case err != nil:
		return err
	case !c.Src.IsLinkLocalUnicast():
		return errNDSource
	case m.Destination().IsMulticast():
		return errNDDestination
	case m.Target() != m.Destination() && !m.Target().IsLinkLocalUnicast():
		return errNDGateway
	}
	return m.Options().check()
}

// SolicitedNode is the group of a node with the address a (RFC 4291 2.7.1):
// ff02::1:ff00:0/104 and its last 24 bits.
func SolicitedNode(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

func isSolicitedNode(a netip.Addr) bool { return SolicitedNode(a) == a }

// RouterSolicitationHeader is what AppendRouterSolicitation writes. A zero
// SourceMAC leaves the option out.
type RouterSolicitationHeader struct {
	Src, Dst  netip.Addr
	SourceMAC MAC
}

// AppendRouterSolicitation appends a message, checksum included.
func AppendRouterSolicitation(b []byte, h RouterSolicitationHeader) []byte {
	start := len(b)
	b = append(b, byte(ICMPv6RouterSolicitation), 0, 0, 0, 0, 0, 0, 0)
	b = appendLinkLayer(b, NDSourceLinkLayer, h.SourceMAC)
	return sealND(b, start, h.Src, h.Dst)
}

// RouterAdvertisementHeader is what AppendRouterAdvertisement writes. Options
// are as the Append functions of the options wrote them.
type RouterAdvertisementHeader struct {
	Src, Dst              netip.Addr
	HopLimit              uint8
	Managed, Other        bool
	LifetimeSeconds       uint16
	ReachableMilliseconds uint32
	RetransMilliseconds   uint32
	Options               []byte
}

// AppendRouterAdvertisement appends a message, checksum included.
func AppendRouterAdvertisement(b []byte, h RouterAdvertisementHeader) []byte {
	start := len(b)
	var flags byte
	if h.Managed {
		flags |= 0x80
	}
	if h.Other {
		flags |= 0x40
	}
	b = append(b, byte(ICMPv6RouterAdvertisement), 0, 0, 0, h.HopLimit, flags)
	b = binary.BigEndian.AppendUint16(b, h.LifetimeSeconds)
	b = binary.BigEndian.AppendUint32(b, h.ReachableMilliseconds)
	b = binary.BigEndian.AppendUint32(b, h.RetransMilliseconds)
	return sealND(append(b, h.Options...), start, h.Src, h.Dst)
}

// NeighborSolicitationHeader is what AppendNeighborSolicitation writes. A zero
// SourceMAC leaves the option out.
type NeighborSolicitationHeader struct {
	Src, Dst, Target netip.Addr
	SourceMAC        MAC
}

// AppendNeighborSolicitation appends a message, checksum included.
func AppendNeighborSolicitation(b []byte, h NeighborSolicitationHeader) []byte {
	start := len(b)
	target := h.Target.As16()
	b = append(append(b, byte(ICMPv6NeighborSolicitation), 0, 0, 0, 0, 0, 0, 0), target[:]...)
	b = appendLinkLayer(b, NDSourceLinkLayer, h.SourceMAC)
	return sealND(b, start, h.Src, h.Dst)
}

// NeighborAdvertisementHeader is what AppendNeighborAdvertisement writes. A zero
// TargetMAC leaves the option out.
type NeighborAdvertisementHeader struct {
	Src, Dst, Target            netip.Addr
	Router, Solicited, Override bool
	TargetMAC                   MAC
}

// AppendNeighborAdvertisement appends a message, checksum included.
func AppendNeighborAdvertisement(b []byte, h NeighborAdvertisementHeader) []byte {
	start := len(b)
	var flags byte
	if h.Router {
		flags |= 0x80
	}
	if h.Solicited {
		flags |= 0x40
	}
	if h.Override {
		flags |= 0x20
	}
	target := h.Target.As16()
	b = append(append(b, byte(ICMPv6NeighborAdvertisement), 0, 0, 0, flags, 0, 0, 0), target[:]...)
	b = appendLinkLayer(b, NDTargetLinkLayer, h.TargetMAC)
	return sealND(b, start, h.Src, h.Dst)
}

// NDRedirectHeader is what AppendNDRedirect writes. A zero TargetMAC and an empty
// Quoted leave their options out.
type NDRedirectHeader struct {
	Src, Dst, Target, Destination netip.Addr
	TargetMAC                     MAC
	Quoted                        []byte // the packet that caused it
}

// AppendNDRedirect appends a message, checksum included.
func AppendNDRedirect(b []byte, h NDRedirectHeader) []byte {
	start := len(b)
	target, destination := h.Target.As16(), h.Destination.As16()
	b = append(b, byte(ICMPv6Redirect), 0, 0, 0, 0, 0, 0, 0)
	b = append(append(b, target[:]...), destination[:]...)
	b = appendLinkLayer(b, NDTargetLinkLayer, h.TargetMAC)
	if len(h.Quoted) > 0 {
		b = AppendRedirectedHeader(b, h.Quoted)
	}
	return sealND(b, start, h.Src, h.Dst)
}

func appendLinkLayer(b []byte, t NDOptionType, m MAC) []byte {
	if m == (MAC{}) {
		return b
	}
	return AppendLinkLayerOption(b, t, m)
}

// sealND fills in the checksum of the message b[start:].
func sealND(b []byte, start int, src, dst netip.Addr) []byte {
	sum := PseudoHeader(src, dst, ProtocolICMPv6, len(b)-start).Add(b[start:]).Checksum()
	binary.BigEndian.PutUint16(b[start+2:], sum)
	return b
}
