package stack

// Counter is a counter by the name of Linux's /proc/net/snmp and snmp6:
// "Ip.InReceives".
type Counter struct {
	Name  string
	Value uint64
}

// InterfaceCounters are what ip -s link shows.
type InterfaceCounters struct {
	ReceivedPackets, ReceivedBytes, ReceivedErrors, ReceivedDrops, ReceivedMulticast uint64
	SentPackets, SentBytes, SentDrops                                                uint64
}

// Counters are the interface's counters.
func (i *Interface) Counters() InterfaceCounters {
	c := InterfaceCounters{
		ReceivedPackets: i.receivedPackets, ReceivedBytes: i.receivedBytes, SentPackets: i.sentPackets, SentBytes: i.sentBytes,
	}
	if r := i.seldom; r != nil {
		c.ReceivedErrors, c.ReceivedDrops, c.ReceivedMulticast, c.SentDrops = r.receivedErrors, r.receivedDrops, r.receivedMulticast, r.sentDrops
	}
	return c
}

// counter numbers the counters of a stack.
type counter uint8

const (
	ipInReceives counter = iota
	ipInHdrErrors
	ipInAddrErrors
	ipForwDatagrams
	ipInUnknownProtos
	ipInDiscards
	ipInDelivers
	ipOutRequests
	ipOutDiscards
	ipOutNoRoutes
	ipReasmTimeout
	ipReasmReqds
	ipReasmOKs
	ipReasmFails
	ipFragOKs
	ipFragFails
	ipFragCreates
	icmpInMsgs
	icmpInErrors
	icmpInCsumErrors
	icmpInDestUnreachs
	icmpInTimeExcds
	icmpInParmProbs
	icmpInRedirects
	icmpInEchos
	icmpInEchoReps
	icmpOutMsgs
	icmpOutRateLimit
	icmpOutRateLimitHost
	icmpOutDestUnreachs
	icmpOutTimeExcds
	icmpOutRedirects
	icmpOutEchos
	icmpOutEchoReps
	udpInDatagrams
	udpNoPorts
	udpInErrors
	udpOutDatagrams
	udpRcvbufErrors
	udpInCsumErrors
	otherHost
	countersEnd
)

var counterNames = [countersEnd]string{
	"Ip.InReceives", "Ip.InHdrErrors", "Ip.InAddrErrors", "Ip.ForwDatagrams", "Ip.InUnknownProtos", "Ip.InDiscards", "Ip.InDelivers",
	"Ip.OutRequests", "Ip.OutDiscards", "Ip.OutNoRoutes", "Ip.ReasmTimeout", "Ip.ReasmReqds", "Ip.ReasmOKs", "Ip.ReasmFails",
	"Ip.FragOKs", "Ip.FragFails", "Ip.FragCreates",
	"Icmp.InMsgs", "Icmp.InErrors", "Icmp.InCsumErrors", "Icmp.InDestUnreachs", "Icmp.InTimeExcds", "Icmp.InParmProbs", "Icmp.InRedirects",
	"Icmp.InEchos", "Icmp.InEchoReps", "Icmp.OutMsgs", "Icmp.OutRateLimitGlobal", "Icmp.OutRateLimitHost", "Icmp.OutDestUnreachs", "Icmp.OutTimeExcds",
	"Icmp.OutRedirects", "Icmp.OutEchos", "Icmp.OutEchoReps",
	"Udp.InDatagrams", "Udp.NoPorts", "Udp.InErrors", "Udp.OutDatagrams", "Udp.RcvbufErrors", "Udp.InCsumErrors",
	"Link.OtherHost",
}

// counters are uint32 as in SNMP: they wrap, and take little memory.
type counters [countersEnd]uint32

func (s *Stack) count(c counter) {
	if s.counters == nil {
		s.counters = new(counters) // idle hosts count nothing
	}
	s.counters[c]++
}

// Counters are the stack's counters, IPv4 and its upper layers first, IPv6 after.
func (s *Stack) Counters() []Counter {
	values := s.counters
	if values == nil {
		values = &counters{}
	}
	list := make([]Counter, 0, countersEnd)
	for c, v := range values {
		list = append(list, Counter{counterNames[c], uint64(v)})
	}
	return append(list, s.countersIPv6()...)
}
