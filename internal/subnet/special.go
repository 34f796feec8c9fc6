package subnet

import (
	"cmp"
	"net/netip"
	"slices"
)

// Special is a range with a purpose of its own.
type Special struct {
	Prefix netip.Prefix
	Name   string
	Source string // where it is laid down
	Global bool   // routers of the Internet forward it
}

// specialRanges are those of IANA's special-purpose registries for IPv4 and
// IPv6, and of the multicast and IPv6 address spaces, as of 2026.
var specialRanges = []Special{
	special("0.0.0.0/32", "this host on this network", "RFC 1122 3.2.1.3", false),
	special("0.0.0.0/8", "this network", "RFC 791 3.2", false),
	special("10.0.0.0/8", "private", "RFC 1918", false),
	special("100.64.0.0/10", "shared address space, for carrier-grade NAT", "RFC 6598", false),
	special("127.0.0.0/8", "loopback", "RFC 1122 3.2.1.3", false),
	special("169.254.0.0/16", "link-local", "RFC 3927", false),
	special("172.16.0.0/12", "private", "RFC 1918", false),
	special("192.0.0.0/29", "IPv4 service continuity", "RFC 7335", false),
	special("192.0.0.8/32", "IPv4 dummy address", "RFC 7600", false),
	special("192.0.0.9/32", "port control protocol anycast", "RFC 7723", true),
	special("192.0.0.10/32", "TURN anycast", "RFC 8155", true),
	special("192.0.0.0/24", "IETF protocol assignments", "RFC 6890 2.1", false),
	special("192.0.2.0/24", "documentation (TEST-NET-1)", "RFC 5737", false),
	special("192.31.196.0/24", "AS112-v4", "RFC 7535", true),
	special("192.52.193.0/24", "AMT", "RFC 7450", true),
	special("192.88.99.0/24", "6to4 relay anycast, deprecated", "RFC 7526", false),
	special("192.168.0.0/16", "private", "RFC 1918", false),
	special("192.175.48.0/24", "direct delegation AS112 service", "RFC 7534", true),
	special("198.18.0.0/15", "benchmarking", "RFC 2544", false),
	special("198.51.100.0/24", "documentation (TEST-NET-2)", "RFC 5737", false),
	special("203.0.113.0/24", "documentation (TEST-NET-3)", "RFC 5737", false),
	special("224.0.0.0/24", "multicast on the local network", "RFC 5771 4", false),
	special("232.0.0.0/8", "source-specific multicast", "RFC 4607", true),
	special("239.0.0.0/8", "multicast within an organisation", "RFC 2365", false),
	special("224.0.0.0/4", "multicast", "RFC 5771", true),
	special("255.255.255.255/32", "limited broadcast", "RFC 919", false),
	special("240.0.0.0/4", "reserved", "RFC 1112 4", false),

	special("::/128", "unspecified", "RFC 4291 2.5.2", false),
	special("::1/128", "loopback", "RFC 4291 2.5.3", false),
	special("::ffff:0:0/96", "IPv4-mapped", "RFC 4291 2.5.5.2", false),
	special("64:ff9b::/96", "IPv4-IPv6 translation", "RFC 6052", true),
	special("64:ff9b:1::/48", "IPv4-IPv6 translation, local use", "RFC 8215", false),
	special("100::/64", "discard only", "RFC 6666", false),
	special("100:0:0:1::/64", "dummy IPv6 prefix", "RFC 9780", false),
	special("2001::/32", "Teredo", "RFC 4380", false),
	special("2001:2::/48", "benchmarking", "RFC 5180", false),
	special("2001:3::/32", "AMT", "RFC 7450", true),
	special("2001:4:112::/48", "AS112-v6", "RFC 7535", true),
	special("2001:20::/28", "ORCHIDv2", "RFC 7343", true),
	special("2001:30::/28", "drone remote identification", "RFC 9374", true),
	special("2001:db8::/32", "documentation", "RFC 3849", false),
	special("2001::/23", "IETF protocol assignments", "RFC 2928", false),
	special("2002::/16", "6to4", "RFC 3056", false),
	special("2620:4f:8000::/48", "direct delegation AS112 service", "RFC 7534", true),
	special("3fff::/20", "documentation", "RFC 9637", false),
	special("5f00::/16", "segment routing identifiers", "RFC 9602", false),
	special("fc00::/7", "unique local (ULA)", "RFC 4193", false),
	special("fe80::/10", "link-local", "RFC 4291 2.5.6", false),
	special("fec0::/10", "site-local, deprecated", "RFC 3879", false),
	special("ff02::1:ff00:0/104", "solicited-node multicast", "RFC 4291 2.7.1", false),
	special("ff01::/16", "multicast within the interface", "RFC 4291 2.7", false),
	special("ff02::/16", "multicast on the link", "RFC 4291 2.7", false),
	special("ff00::/8", "multicast", "RFC 4291 2.7", true),
	special("2000::/3", "global unicast", "RFC 4291 2.5.4", true),
}

func special(prefix, name, source string, global bool) Special {
	return Special{netip.MustParsePrefix(prefix), name, source, global}
}

// specials lists the ranges that an address is in, the narrowest first.
func specials(a netip.Addr) []Special {
	var in []Special
	for _, s := range specialRanges {
		if s.Prefix.Contains(a) {
			in = append(in, s)
		}
	}
	slices.SortStableFunc(in, func(a, b Special) int { return cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()) })
	return in
}
