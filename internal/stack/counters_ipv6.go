package stack

// counterIPv6 numbers the counters of IPv6.
type counterIPv6 uint8

const (
	ip6InReceives counterIPv6 = iota
	ip6InHdrErrors
	ip6InTooBigErrors
	ip6InNoRoutes
	ip6InAddrErrors
	ip6InDiscards
	ip6InDelivers
	ip6OutForwDatagrams
	ip6OutRequests
	ip6OutNoRoutes
	ip6ReasmTimeout
	ip6ReasmReqds
	ip6ReasmOKs
	ip6ReasmFails
	ip6FragOKs
	ip6FragFails
	ip6FragCreates
	icmp6InMsgs
	icmp6InErrors
	icmp6InCsumErrors
	icmp6OutMsgs
	icmp6OutRateLimitHost
	icmp6DADFailed
	countersIPv6End
)

// The last one has no counterpart in Linux, which logs it.
var counterIPv6Names = [countersIPv6End]string{
	"Ip6.InReceives", "Ip6.InHdrErrors", "Ip6.InTooBigErrors", "Ip6.InNoRoutes", "Ip6.InAddrErrors", "Ip6.InDiscards", "Ip6.InDelivers",
	"Ip6.OutForwDatagrams", "Ip6.OutRequests", "Ip6.OutNoRoutes", "Ip6.ReasmTimeout", "Ip6.ReasmReqds", "Ip6.ReasmOKs", "Ip6.ReasmFails",
	"Ip6.FragOKs", "Ip6.FragFails", "Ip6.FragCreates",
	"Icmp6.InMsgs", "Icmp6.InErrors", "Icmp6.InCsumErrors", "Icmp6.OutMsgs", "Icmp6.OutRateLimitHost", "Icmp6.DADFailed",
}

func (s *Stack) count6(c counterIPv6) { s.ipv6().counters[c]++ }

// countersIPv6 are the counters of /proc/net/snmp6 that are counted.
func (s *Stack) countersIPv6() []Counter {
	if s.v6 == nil {
		return nil
	}
	list := make([]Counter, 0, len(s.v6.counters))
	for c, v := range s.v6.counters {
		list = append(list, Counter{counterIPv6Names[c], uint64(v)})
	}
	return list
}
