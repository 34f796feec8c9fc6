package scenario

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/wire"
)

// filter says which frames are meant: all its terms must hold. It is compiled
// from words before anything runs; matching does not allocate.
type filter struct {
	reasons []wire.Drop // of drops: one of them; empty: any
	terms   []term
}

type term func(p *packet) bool

// matches reports whether a frame is meant.
func (f *filter) matches(p *packet) bool {
	for _, t := range f.terms {
		if !t(p) {
			return false
		}
	}
	return true
}

// score is how many terms hold: how near a frame comes to what is meant.
func (f *filter) score(p *packet) (n int) {
	for _, t := range f.terms {
		if t(p) {
			n++
		}
	}
	return n
}

// drop reports whether a reason is meant.
func (f *filter) drop(why wire.Drop) bool {
	if len(f.reasons) == 0 {
		return !bystander(why)
	}
	return slices.Contains(f.reasons, why)
}

// bystander reports whether a drop is the ordinary fate of a frame's copy that
// reached one it was not for, and so no loss.
func bystander(why wire.Drop) bool { return why == wire.DropNotForUs || why == wire.DropNoPort }

// phrases are the words of filters. Longer phrases come before those that they
// begin with.
var phrases = []struct {
	text string
	term term
}{
	{"arp request", func(p *packet) bool { return p.arp == wire.ARPRequest }},
	{"arp reply", func(p *packet) bool { return p.arp == wire.ARPReply }},
	{"arp", func(p *packet) bool { return p.kind == wire.TypeARP }},
	{"icmp echo request", isEchoRequest},
	{"icmp echo reply", isEchoReply},
	{"icmp echo", isEcho},
	{"icmp time exceeded", isTimeExceeded},
	{"icmp unreachable", isUnreachable},
	{"icmp redirect", isRedirect},
	{"icmp error", func(p *packet) bool { return p.isError }},
	{"icmp", func(p *packet) bool {
		return p.isIP && (p.protocol == wire.ProtocolICMP || p.protocol == wire.ProtocolICMPv6)
	}},
	{"echo request", isEchoRequest},
	{"echo reply", isEchoReply},
	{"echo", isEcho},
	{"time exceeded", isTimeExceeded},
	{"fragmentation needed", isFragmentationNeeded},
	{"packet too big", isFragmentationNeeded},
	{"port unreachable", isPortUnreachable},
	{"host unreachable", isHostUnreachable},
	{"unreachable", isUnreachable},
	{"redirect", isRedirect},
	{"router solicitation", isICMPv6(wire.ICMPv6RouterSolicitation)},
	{"router advertisement", isICMPv6(wire.ICMPv6RouterAdvertisement)},
	{"neighbor solicitation", isICMPv6(wire.ICMPv6NeighborSolicitation)},
	{"neighbor advertisement", isICMPv6(wire.ICMPv6NeighborAdvertisement)},
	{"udp", func(p *packet) bool { return p.isIP && p.protocol == wire.ProtocolUDP }},
	{"tcp syn ack", hasFlags(wire.TCPSyn|wire.TCPAck, 0)},
	{"tcp syn", hasFlags(wire.TCPSyn, wire.TCPAck)},
	{"tcp fin", hasFlags(wire.TCPFin, 0)},
	{"tcp rst", hasFlags(wire.TCPRst, 0)},
	{"tcp data", func(p *packet) bool { return p.tcpData }},
	{"tcp ack", func(p *packet) bool { // nothing but one
		return p.hasTCP && !p.tcpData && p.tcpFlags&(wire.TCPAck|wire.TCPSyn|wire.TCPFin|wire.TCPRst) == wire.TCPAck
	}},
	{"tcp", func(p *packet) bool { return p.isIP && p.protocol == wire.ProtocolTCP }},
	{"ipv4", func(p *packet) bool { return p.kind == wire.TypeIPv4 }},
	{"ipv6", func(p *packet) bool { return p.kind == wire.TypeIPv6 }},
	{"ip", func(p *packet) bool { return p.kind == wire.TypeIPv4 || p.kind == wire.TypeIPv6 }},
	{"broadcast", func(p *packet) bool { return p.dstMAC == wire.Broadcast }},
	{"multicast", func(p *packet) bool { return p.dstMAC.IsMulticast() && p.dstMAC != wire.Broadcast }},
	{"unicast", func(p *packet) bool { return len(p.frame) > 0 && !p.dstMAC.IsMulticast() }},
	{"fragment", func(p *packet) bool { return p.fragment }},
}

// hasFlags matches segments with all of some flags and none of others.
func hasFlags(all, none wire.TCPFlags) term {
	return func(p *packet) bool { return p.hasTCP && p.tcpFlags&(all|none) == all }
}

func isEchoRequest(p *packet) bool { request, _ := p.echo(); return request }
func isEchoReply(p *packet) bool   { _, reply := p.echo(); return reply }
func isEcho(p *packet) bool        { request, reply := p.echo(); return request || reply }

// icmpKind matches a type of either family.
func (p *packet) icmpKind(v4 wire.ICMPType, v6 wire.ICMPv6Type) bool {
	return p.hasICMP && (p.protocol == wire.ProtocolICMP && p.icmpType == uint8(v4) || p.protocol == wire.ProtocolICMPv6 && p.icmpType == uint8(v6))
}

func isTimeExceeded(p *packet) bool {
	return p.icmpKind(wire.ICMPTimeExceeded, wire.ICMPv6TimeExceeded)
}

func isUnreachable(p *packet) bool { return p.icmpKind(wire.ICMPUnreachable, wire.ICMPv6Unreachable) }
func isRedirect(p *packet) bool    { return p.icmpKind(wire.ICMPRedirect, wire.ICMPv6Redirect) }

func isPortUnreachable(p *packet) bool {
	return isUnreachable(p) && (p.protocol == wire.ProtocolICMP && p.icmpCode == wire.ICMPPortUnreachable ||
		p.protocol == wire.ProtocolICMPv6 && p.icmpCode == wire.ICMPv6PortUnreachable)
}

func isHostUnreachable(p *packet) bool {
	return isUnreachable(p) && (p.protocol == wire.ProtocolICMP && p.icmpCode == wire.ICMPHostUnreachable ||
		p.protocol == wire.ProtocolICMPv6 && p.icmpCode == wire.ICMPv6AddressUnreachable)
}

func isFragmentationNeeded(p *packet) bool {
	if p.protocol == wire.ProtocolICMP {
		return p.hasICMP && p.icmpType == uint8(wire.ICMPUnreachable) && p.icmpCode == wire.ICMPFragmentationNeeded
	}
	return isICMPv6(wire.ICMPv6PacketTooBig)(p)
}

func isICMPv6(t wire.ICMPv6Type) term {
	return func(p *packet) bool {
		return p.hasICMP && p.protocol == wire.ProtocolICMPv6 && p.icmpType == uint8(t)
	}
}

// reasons are the words for why frames are dropped, the longer before those that
// they begin with.
var reasons = []struct {
	text string
	why  []wire.Drop
}{
	{"link down", []wire.Drop{wire.DropLinkDown}},
	{"queue full", []wire.Drop{wire.DropQueueFull}},
	{"loss", []wire.Drop{wire.DropLoss}},
	{"lost", []wire.Drop{wire.DropLoss}},
	{"too big", []wire.Drop{wire.DropTooBig, wire.DropFragmentationOff}},
	{"node down", []wire.Drop{wire.DropNodeDown}},
	{"no port", []wire.Drop{wire.DropNoPort}},
	{"not for us", []wire.Drop{wire.DropNotForUs}},
	{"unknown protocol", []wire.Drop{wire.DropUnknownType}},
	{"malformed", []wire.Drop{wire.DropMalformed}},
	{"bad checksum", []wire.Drop{wire.DropBadChecksum}},
	{"invalid source", []wire.Drop{wire.DropInvalidSource}},
	{"reverse path", []wire.Drop{wire.DropReversePath}},
	{"forwarding off", []wire.Drop{wire.DropForwardingOff}},
	{"no route", []wire.Drop{wire.DropNoRoute}},
	{"blackhole", []wire.Drop{wire.DropBlackhole}},
	{"prohibited", []wire.Drop{wire.DropProhibited}},
	{"ttl exceeded", []wire.Drop{wire.DropTTLExceeded}},
	{"reassembly timeout", []wire.Drop{wire.DropReassemblyTimeout}},
	{"reassembly overflow", []wire.Drop{wire.DropReassemblyOverflow}},
	{"neighbor failed", []wire.Drop{wire.DropNeighborFailed}},
	{"neighbor queue full", []wire.Drop{wire.DropNeighborQueueFull}},
	{"no socket", []wire.Drop{wire.DropNoSocket}},
	{"socket buffer full", []wire.Drop{wire.DropSocketBufferFull}},
	{"interface down", []wire.Drop{wire.DropInterfaceDown}},
	{"address not ready", []wire.Drop{wire.DropAddressNotReady}},
}

// operands are the words that something follows.
var operands = []string{"from", "to", "port", "not"}

// filterError is a word that is not understood, and where it stands in the text.
type filterError struct {
	text       string
	suggestion string
	at, length int // in the words' characters; at is -1 where nothing is at fault but the end
}

func (e *filterError) Error() string {
	if e.suggestion != "" {
		return fmt.Sprintf("%s; did you mean %q?", e.text, e.suggestion)
	}
	return e.text
}

// filterReader turns words into a filter.
type filterReader struct {
	plan    *lab.Plan
	words   []string
	starts  []int // where each word starts, in characters
	next    int
	reasons bool // whether reasons for drops are words too
}

// newFilter compiles the words of frames(), or with drops those of drops().
// Names of nodes stand for their addresses.
func newFilter(plan *lab.Plan, text string, drops bool) (*filter, *filterError) {
	r := &filterReader{plan: plan, reasons: drops}
	column := 0
	for _, w := range strings.SplitAfter(text, " ") {
		if word := strings.TrimSpace(w); word != "" {
			r.words, r.starts = append(r.words, word), append(r.starts, column)
		}
		column += len([]rune(w))
	}
	f := &filter{}
	for r.next < len(r.words) {
		if r.reason(f) {
			continue
		}
		t, err := r.term()
		if err != nil {
			return nil, err
		}
		f.terms = append(f.terms, t)
	}
	return f, nil
}

// takes reports whether the next words are those of a phrase, and takes them.
func (r *filterReader) takes(phrase string) bool {
	words := strings.Fields(phrase)
	if r.next+len(words) > len(r.words) {
		return false
	}
	for i, w := range words {
		if fold(r.words[r.next+i]) != w {
			return false
		}
	}
	r.next += len(words)
	return true
}

// fold accepts both spellings of neighbour.
func fold(word string) string {
	return strings.Replace(strings.ToLower(word), "neighbour", "neighbor", 1)
}

func (r *filterReader) reason(f *filter) bool {
	if !r.reasons {
		return false
	}
	for _, reason := range reasons {
		if r.takes(reason.text) {
			f.reasons = append(f.reasons, reason.why...)
			return true
		}
	}
	return false
}

func (r *filterReader) term() (term, *filterError) {
	for _, phrase := range phrases {
		if r.takes(phrase.text) {
			return phrase.term, nil
		}
	}
	switch {
	case r.takes("not"):
		if r.next == len(r.words) {
			return nil, r.missing("not", "another word, as in not arp")
		}
		t, err := r.term()
		if err != nil {
			return nil, err
		}
		return func(p *packet) bool { return !t(p) }, nil
	case r.takes("from"):
		return r.side("from", true, false)
	case r.takes("to"):
		return r.side("to", false, true)
	case r.takes("port"):
		return r.port(true, true)
	}
	return r.station(true, true)
}

func (r *filterReader) side(word string, src, dst bool) (term, *filterError) {
	if r.takes("port") {
		return r.port(src, dst)
	}
	if r.next == len(r.words) {
		return nil, r.missing(word, "a node or an address, as in "+word+" h1")
	}
	return r.station(src, dst)
}

func (r *filterReader) missing(word, want string) *filterError {
	return &filterError{text: fmt.Sprintf("%q needs %s", word, want), at: -1}
}

func (r *filterReader) port(src, dst bool) (term, *filterError) {
	if r.next == len(r.words) {
		return nil, r.missing("port", "a number, as in port 7")
	}
	n, err := strconv.ParseUint(r.words[r.next], 10, 16)
	if err != nil {
		return nil, r.fault("%q is not a port: want a number up to 65535", r.words[r.next])
	}
	r.next++
	port := uint16(n)
	return func(p *packet) bool {
		return p.hasPorts && (src && p.srcPort == port || dst && p.dstPort == port)
	}, nil
}

// fault is an error about the next word.
func (r *filterReader) fault(format string, args ...any) *filterError {
	w := r.words[r.next]
	return &filterError{text: fmt.Sprintf(format, args...), at: r.starts[r.next], length: len([]rune(w))}
}

// station is a node, an interface of a node, an address or a prefix, that must be
// the source or the destination.
func (r *filterReader) station(src, dst bool) (term, *filterError) {
	who, ok := r.addresses(r.words[r.next])
	if !ok {
		return nil, r.unknown()
	}
	r.next++
	return func(p *packet) bool {
		return src && who.has(p.src, p.srcMAC) || dst && who.has(p.dst, p.dstMAC)
	}, nil
}

// addresses reads who is meant.
func (r *filterReader) addresses(word string) (*stations, bool) {
	if prefix, err := netip.ParsePrefix(word); err == nil {
		return &stations{prefixes: []netip.Prefix{prefix.Masked()}}, true
	}
	if a, err := netip.ParseAddr(word); err == nil {
		return &stations{prefixes: []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}}, true
	}
	if m, err := wire.ParseMAC(word); err == nil {
		return &stations{macs: []wire.MAC{m}}, true
	}
	name, port, _ := strings.Cut(word, ":")
	i := r.plan.Node(name)
	if i < 0 {
		return nil, false
	}
	node := &r.plan.Nodes[i]
	who := &stations{}
	for _, in := range node.Interfaces {
		if port == "" || in.Name == port {
			who.add(in)
		}
	}
	if port == "" {
		for _, p := range node.Loopback {
			who.prefixes = append(who.prefixes, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		}
	}
	return who, len(who.macs) > 0
}

// stations are those that a word of a filter means.
type stations struct {
	prefixes []netip.Prefix
	macs     []wire.MAC
}

func (s *stations) add(in lab.InterfacePlan) {
	if in.MAC == (wire.MAC{}) {
		return // a port of a switch sends nothing of its own
	}
	s.macs = append(s.macs, in.MAC)
	for _, p := range in.Addr {
		s.prefixes = append(s.prefixes, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
	}
}

// has reports whether a packet's address is one of theirs: an address, or an
// IPv6 address made from a hardware address (RFC 4291 A). What has no address
// yet, as an ARP probe, is known by its hardware address.
func (s *stations) has(a netip.Addr, mac wire.MAC) bool {
	for _, p := range s.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	known := a.IsValid() && !a.IsUnspecified()
	for _, m := range s.macs {
		if !known && m == mac || len(s.prefixes) == 0 && m == mac {
			return true
		}
		if a.Is6() {
			b := a.As16()
			if [8]byte(b[8:]) == m.InterfaceID() {
				return true
			}
		}
	}
	return false
}

// unknown is the error about the next words, with the phrase that was most likely
// meant.
func (r *filterReader) unknown() *filterError {
	for n := min(3, len(r.words)-r.next); n > 1; n-- {
		text := strings.Join(r.words[r.next:r.next+n], " ")
		if near := diag.Nearest(text, r.known(n)); near != "" {
			return &filterError{text: fmt.Sprintf("unknown words %q", text), suggestion: near, at: r.starts[r.next], length: len([]rune(text))}
		}
	}
	err := r.fault("unknown word %q", r.words[r.next])
	err.suggestion = diag.Nearest(r.words[r.next], r.known(1))
	return err
}

// known are the phrases of so many words; those of one word are all words there
// are, nodes included.
func (r *filterReader) known(length int) (known []string) {
	add := func(phrase string) {
		words := strings.Fields(phrase)
		if length == 1 {
			known = append(known, words...)
		} else if len(words) == length {
			known = append(known, phrase)
		}
	}
	for _, p := range phrases {
		add(p.text)
	}
	if r.reasons {
		for _, p := range reasons {
			add(p.text)
		}
	}
	if length == 1 {
		known = slices.Concat(known, operands, nodeNames(r.plan))
	}
	return known
}
