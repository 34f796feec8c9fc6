package explain

import (
	"strings"

	"github.com/hopyard/hopyard/internal/wire"
)

// hints are what a newcomer asks about a layer. The first whose name and words
// are there is given.
var hints = []struct {
	layer string
	words string // in the summary
	text  string
}{
	{"ARP", "ARP request", "a question to the LAN: every station reads a broadcast, only the owner of the address answers"},
	{"ARP", "ARP reply", "the answer goes to the one who asked, who keeps it in its table (ip neigh)"},
	{"Ethernet II", "(broadcast)", "ff:ff:ff:ff:ff:ff is everybody in this LAN; a router lets it go no further"},
	{"IPv4", "fragment at byte", "a piece of a packet that was too large for a link; only the receiver puts the pieces together"},
	{"IPv4", "TTL 1,", "the next router takes the last one off, drops the packet and says so"},
	{"ICMP", "time to live exceeded", "a router took the TTL to 0, dropped the packet and says so; traceroute lives on this"},
	{"ICMP", "reassembly time", "pieces of a packet are missing, and the receiver waits no longer"},
	{"ICMP", "unreachable: port", "the host is there, and no program listens on that port"},
	{"ICMP", "unreachable: host", "the last router asked for the address in vain: nobody answers ARP"},
	{"ICMP", "unreachable: network", "a router has no route to that network"},
	{"ICMP", "fragmentation needed", "the next link takes smaller packets only, and this one must not be cut: the sender learns the size (path MTU discovery)"},
	{"ICMP", "redirect", "there is a better router in this LAN, and the host may go there itself"},
	{"ICMP", "echo request", "ping asks"},
	{"ICMP", "echo reply", "ping is answered"},
	{"ICMPv6", "neighbor solicitation", "what ARP's request is to IPv4, but to a group that few stations are in"},
	{"ICMPv6", "neighbor advertisement", "what ARP's reply is to IPv4"},
	{"ICMPv6", "router solicitation", "a host that has just come up asks for routers"},
	{"ICMPv6", "router advertisement", "a router tells the LAN's prefix, of which hosts make addresses, and that it is a way out"},
	{"ICMPv6", "packet too big", "IPv6 routers cut nothing: the sender learns the size"},
	{"TCP", "SYN, ACK", "second of three: I heard you, and this is my first sequence number"},
	{"TCP", "SYN", "first of three: let us talk, and this is my first sequence number"},
	{"TCP", "RST", "there is no such connection, or no longer"},
	{"TCP", "FIN", "I have sent all; you may go on"},
}

// hint is what to say about a layer, empty where it was said or there is nothing.
func (w *Writer) hint(l wire.Layer) string {
	for _, h := range hints {
		if l.Name != h.layer || !strings.Contains(l.Summary, h.words) {
			continue
		}
		if l.Quoted || w.hinted[h.text] {
			return ""
		}
		if w.hinted == nil {
			w.hinted = map[string]bool{}
		}
		w.hinted[h.text] = true
		return h.text
	}
	return ""
}
