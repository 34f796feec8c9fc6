package wire

// Drop is why a packet went no further. The names follow Linux's
// skb_drop_reason (include/net/dropreason-core.h) where it has one.
type Drop uint8

// The reasons, by where they happen.
const (
	NotDropped Drop = iota

	// On a link.
	DropLinkDown  // the link was cut or failed
	DropQueueFull // no room in the sender's queue
	DropLoss      // lost on the way, as the link's loss asks
	DropTooBig    // longer than the link's MTU
	DropNodeDown  // nobody listens: the node has failed

	// In a switch or hub.
	DropNoPort // only the port it came from leads to its destination

	// In a host or router.
	DropNotForUs           // another station's frame (OTHERHOST)
	DropUnknownType        // nobody speaks the EtherType or the IP protocol (UNHANDLED_PROTO)
	DropMalformed          // lengths or fields that make no sense (PKT_TOO_SMALL, IP_INHDR)
	DropBadChecksum        // IP_CSUM, UDP_CSUM, TCP_CSUM, ICMP_CSUM
	DropInvalidSource      // IP_INVALID_SOURCE
	DropReversePath        // IP_RPFILTER
	DropForwardingOff      // not ours, and this host is no router
	DropNoRoute            // IP_OUTNOROUTES, IP_INNOROUTES
	DropBlackhole          // the route says so
	DropProhibited         // the route or a filter says so
	DropTTLExceeded        // the TTL or hop limit reached zero
	DropFragmentationOff   // too large for the next link, and may not be cut (PKT_TOO_BIG)
	DropReassemblyTimeout  // fragments missing in time (FRAG_REASM_TIMEOUT)
	DropReassemblyOverflow // too many or overlapping fragments
	DropNeighborFailed     // nobody answers for the next hop (NEIGH_FAILED)
	DropNeighborQueueFull  // too many wait for the next hop's address (NEIGH_QUEUEFULL)
	DropNoSocket           // nobody listens on the port (NO_SOCKET)
	DropSocketBufferFull   // the program reads too slowly (SOCKET_RCVBUFF)
	DropInterfaceDown      // the interface is down (DEV_READY)
	DropAddressNotReady    // the address is tentative or duplicate
	dropEnd
)

var dropTexts = [dropEnd]string{
	NotDropped:             "not dropped",
	DropLinkDown:           "link down",
	DropQueueFull:          "queue full",
	DropLoss:               "lost on the link",
	DropTooBig:             "larger than the link's MTU",
	DropNodeDown:           "node down",
	DropNoPort:             "no other port leads there",
	DropNotForUs:           "for another station",
	DropUnknownType:        "unknown protocol",
	DropMalformed:          "malformed",
	DropBadChecksum:        "bad checksum",
	DropInvalidSource:      "invalid source address",
	DropReversePath:        "reverse path filter",
	DropForwardingOff:      "not for this host, and it does not forward",
	DropNoRoute:            "no route",
	DropBlackhole:          "blackhole route",
	DropProhibited:         "prohibited",
	DropTTLExceeded:        "TTL exceeded",
	DropFragmentationOff:   "too big, and must not be fragmented",
	DropReassemblyTimeout:  "fragments did not arrive in time",
	DropReassemblyOverflow: "too many or overlapping fragments",
	DropNeighborFailed:     "next hop does not answer",
	DropNeighborQueueFull:  "too many packets wait for the next hop's address",
	DropNoSocket:           "nobody listens on the port",
	DropSocketBufferFull:   "the socket's buffer is full",
	DropInterfaceDown:      "interface down",
	DropAddressNotReady:    "address not ready",
}

// String says the reason in words.
func (d Drop) String() string {
	if d < dropEnd {
		return dropTexts[d]
	}
	return "unknown reason"
}

// Known reports whether d is one of the reasons above.
func (d Drop) Known() bool { return d < dropEnd }
