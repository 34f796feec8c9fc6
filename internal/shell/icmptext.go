package shell

import (
	"fmt"
	"net/netip"

	"github.com/hopyard/hopyard/internal/wire"
)

var unreachableText = map[uint8]string{
	wire.ICMPNetUnreachable:      "Destination Net Unreachable",
	wire.ICMPHostUnreachable:     "Destination Host Unreachable",
	wire.ICMPProtocolUnreachable: "Destination Protocol Unreachable",
	wire.ICMPPortUnreachable:     "Destination Port Unreachable",
	wire.ICMPSourceRouteFailed:   "Source Route Failed",
	wire.ICMPNetUnknown:          "Destination Net Unknown",
	wire.ICMPHostUnknown:         "Destination Host Unknown",
	wire.ICMPSourceIsolated:      "Source Host Isolated",
	wire.ICMPNetProhibited:       "Destination Net Prohibited",
	wire.ICMPHostProhibited:      "Destination Host Prohibited",
	wire.ICMPNetTOS:              "Destination Net Unreachable for Type of Service",
	wire.ICMPHostTOS:             "Destination Host Unreachable for Type of Service",
	wire.ICMPAdminProhibited:     "Packet filtered",
	wire.ICMPPrecedenceViolation: "Precedence Violation",
	wire.ICMPPrecedenceCutoff:    "Precedence Cutoff",
}

// icmpText is what iputils' ping says of an ICMP error. info is the MTU, the
// pointer or the gateway, by type.
func icmpText(kind wire.ICMPType, code uint8, info uint32) string {
	switch kind {
	case wire.ICMPUnreachable:
		if code == wire.ICMPFragmentationNeeded {
			return fmt.Sprintf("Frag needed and DF set (mtu = %d)", info)
		}
		if text, ok := unreachableText[code]; ok {
			return text
		}
		return fmt.Sprintf("Dest Unreachable, Bad Code: %d", code)
	case wire.ICMPTimeExceeded:
		switch code {
		case wire.ICMPTTLExceeded:
			return "Time to live exceeded"
		case wire.ICMPReassemblyExceeded:
			return "Frag reassembly time exceeded"
		}
		return fmt.Sprintf("Time exceeded, Bad Code: %d", code)
	case wire.ICMPParamProblem:
		return fmt.Sprintf("Parameter problem: pointer = %d", info)
	case wire.ICMPRedirect:
		gateway := netip.AddrFrom4([4]byte{byte(info >> 24), byte(info >> 16), byte(info >> 8), byte(info)})
		what := "Redirect, Bad Code"
		switch code {
		case 0:
			what = "Redirect Network"
		case 1:
			what = "Redirect Host"
		case 2:
			what = "Redirect Type of Service and Network"
		case 3:
			what = "Redirect Type of Service and Host"
		}
		return fmt.Sprintf("%s(New nexthop: %v)", what, gateway)
	}
	return fmt.Sprintf("Bad ICMP type: %d", kind)
}

var unreachableText6 = map[uint8]string{
	wire.ICMPv6NoRoute:            "No route",
	wire.ICMPv6AdminProhibited:    "Administratively prohibited",
	wire.ICMPv6BeyondScope:        "Beyond scope of source address",
	wire.ICMPv6AddressUnreachable: "Address unreachable",
	wire.ICMPv6PortUnreachable:    "Port unreachable",
	wire.ICMPv6FailedPolicy:       "Source address failed ingress/egress policy",
	wire.ICMPv6RejectRoute:        "Reject route to destination",
}

// icmpv6Text is icmpText for ICMPv6.
func icmpv6Text(kind wire.ICMPv6Type, code uint8, info uint32) string {
	switch kind {
	case wire.ICMPv6Unreachable:
		if text, ok := unreachableText6[code]; ok {
			return "Destination unreachable: " + text
		}
		return fmt.Sprintf("Destination unreachable: Unknown code %d", code)
	case wire.ICMPv6PacketTooBig:
		return fmt.Sprintf("Packet too big: mtu=%d", info)
	case wire.ICMPv6TimeExceeded:
		switch code {
		case wire.ICMPTTLExceeded:
			return "Time exceeded: Hop limit"
		case wire.ICMPReassemblyExceeded:
			return "Time exceeded: Defragmentation failure"
		}
		return fmt.Sprintf("Time exceeded: code %d", code)
	case wire.ICMPv6ParamProblem:
		what := "Unknown code"
		switch code {
		case wire.ICMPv6ErroneousHeader:
			what = "Wrong header field"
		case wire.ICMPv6UnknownNextHeader:
			what = "Unknown header"
		case wire.ICMPv6UnknownIPv6Option:
			what = "Unknown option"
		}
		return fmt.Sprintf("Parameter problem: %s at %d", what, info)
	}
	return fmt.Sprintf("unknown icmp type: %d", kind)
}
