package shell

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/tcp"
)

// tcpGroup are the counters of TCP that stand in /proc/net/snmp; all others are
// in /proc/net/netstat, under TcpExt.
var tcpGroup = []string{
	"ActiveOpens", "PassiveOpens", "AttemptFails", "EstabResets", "InSegs", "OutSegs", "RetransSegs", "InErrs", "OutRsts", "InCsumErrors",
}

// counters are all counters of the host by Linux's names, group first:
// "TcpExt.TCPTimeouts", in Linux's order: IPv4 and what is above it, IPv6, then
// TcpExt.
func counters(s *stack.Stack) []stack.Counter {
	var own, six, extended, main []stack.Counter
	for _, c := range s.Counters() {
		switch {
		case strings.HasPrefix(c.Name, "Link."): // not Linux's
		case strings.Contains(c.Name, "6."):
			six = append(six, c)
		default:
			own = append(own, c)
		}
	}
	stats := s.TCPStats()
	if stats == nil {
		stats = &tcp.Stats{}
	}
	v := reflect.ValueOf(*stats)
	for i := range v.NumField() {
		name, value := v.Type().Field(i).Name, v.Field(i).Uint()
		if slices.Contains(tcpGroup, name) {
			main = append(main, stack.Counter{Name: "Tcp." + name, Value: value})
			if name == "EstabResets" {
				main = append(main, stack.Counter{Name: "Tcp.CurrEstab", Value: established(s)})
			}
			continue
		}
		extended = append(extended, stack.Counter{Name: "TcpExt." + name, Value: value})
	}
	udp := slices.IndexFunc(own, func(c stack.Counter) bool { return strings.HasPrefix(c.Name, "Udp.") })
	own = slices.Insert(own, max(udp, 0), main...)
	return append(append(own, six...), extended...)
}

// established is tcpCurrEstab (RFC 4022): connections in ESTABLISHED or
// CLOSE-WAIT.
func established(s *stack.Stack) (n uint64) {
	if s.TCPStats() == nil {
		return 0
	}
	for _, t := range s.TCPSockets() {
		if state := tcpState(t); state == tcp.Established || state == tcp.CloseWait {
			n++
		}
	}
	return n
}

// runNstat writes counters as nstat does. It keeps no history: every run counts
// from the host's start, as the real one's first run does.
func runNstat(p *program, args []string) int {
	f := p.flags()
	f.BoolP("ignore", "a", false, "from the host's start; it is never otherwise here")
	f.BoolP("noupdate", "s", false, "keep no history; none is kept here")
	zeros := f.BoolP("zeros", "z", false, "those that are zero too")
	patterns, exit, done := f.parse(args, 0, 100)
	if done {
		return exit
	}
	for _, pattern := range patterns {
		if _, err := path.Match(pattern, ""); err != nil {
			return p.fail(exitFailure, "%s: not a pattern", pattern)
		}
	}
	var all []stack.Counter
	p.net.Inspect(func(_ sim.Time, s *stack.Stack) { all = counters(s) })
	p.printf("#kernel\n")
	for _, c := range all {
		name := strings.Replace(c.Name, ".", "", 1)
		chosen := len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool {
			match, _ := path.Match(strings.ToLower(pattern), strings.ToLower(name))
			return match
		})
		if chosen && (c.Value > 0 || *zeros) {
			p.printf("%-32s%-16d%6.1f\n", name, c.Value, 0.0)
		}
	}
	return exitOK
}

// netstatGroups are the headings of netstat -s and what stands under each.
var netstatGroups = []struct{ title, prefix string }{
	{"Ip", "Ip."}, {"Icmp", "Icmp."}, {"Tcp", "Tcp."}, {"Udp", "Udp."}, {"Ip6", "Ip6."}, {"Icmp6", "Icmp6."}, {"TcpExt", "TcpExt."},
}

// netstatWords say in words what the counters of most use count; the number goes
// where %d is. The others are written by their names, as net-tools writes those it
// has no words for.
var netstatWords = map[string]string{
	"Ip.InReceives":               "%d total packets received",
	"Ip.ForwDatagrams":            "%d forwarded",
	"Ip.InDiscards":               "%d incoming packets discarded",
	"Ip.InDelivers":               "%d incoming packets delivered",
	"Ip.OutRequests":              "%d requests sent out",
	"Ip.OutNoRoutes":              "%d dropped because of missing route",
	"Icmp.InMsgs":                 "%d ICMP messages received",
	"Icmp.InErrors":               "%d input ICMP message failed",
	"Icmp.OutMsgs":                "%d ICMP messages sent",
	"Tcp.ActiveOpens":             "%d active connection openings",
	"Tcp.PassiveOpens":            "%d passive connection openings",
	"Tcp.AttemptFails":            "%d failed connection attempts",
	"Tcp.EstabResets":             "%d connection resets received",
	"Tcp.CurrEstab":               "%d connections established",
	"Tcp.InSegs":                  "%d segments received",
	"Tcp.OutSegs":                 "%d segments sent out",
	"Tcp.RetransSegs":             "%d segments retransmitted",
	"Tcp.InErrs":                  "%d bad segments received",
	"Tcp.OutRsts":                 "%d resets sent",
	"Udp.InDatagrams":             "%d packets received",
	"Udp.NoPorts":                 "%d packets to unknown port received",
	"Udp.InErrors":                "%d packet receive errors",
	"Udp.OutDatagrams":            "%d packets sent",
	"Udp.RcvbufErrors":            "%d receive buffer errors",
	"TcpExt.SyncookiesSent":       "%d SYN cookies sent",
	"TcpExt.SyncookiesRecv":       "%d SYN cookies received",
	"TcpExt.TW":                   "%d TCP sockets finished time wait in fast timer",
	"TcpExt.DelayedACKs":          "%d delayed acks sent",
	"TcpExt.DelayedACKLost":       "Quick ack mode was activated %d times",
	"TcpExt.ListenOverflows":      "%d times the listen queue of a socket overflowed",
	"TcpExt.ListenDrops":          "%d SYNs to LISTEN sockets dropped",
	"TcpExt.TCPPureAcks":          "%d acknowledgments not containing data payload received",
	"TcpExt.TCPSackRecovery":      "%d times recovered from packet loss by selective acknowledgements",
	"TcpExt.TCPFastRetrans":       "%d fast retransmits",
	"TcpExt.TCPTimeouts":          "%d other TCP timeouts",
	"TcpExt.TCPLossUndo":          "%d congestion windows recovered without slow start after partial ack",
	"TcpExt.TCPSlowStartRetrans":  "%d retransmits in slow start",
	"TcpExt.TCPDSACKOldSent":      "%d DSACKs sent for old packets",
	"TcpExt.TCPDSACKRecv":         "%d DSACKs received",
	"TcpExt.TCPAbortOnData":       "%d connections reset due to unexpected data",
	"TcpExt.TCPAbortOnClose":      "%d connections reset due to early user close",
	"TcpExt.TCPAbortOnTimeout":    "%d connections aborted due to timeout",
	"TcpExt.TCPZeroWindowDrop":    "TCPZeroWindowDrop: %d",
	"TcpExt.TCPLostRetransmit":    "TCPLostRetransmit: %d",
	"TcpExt.TCPLossProbes":        "TCPLossProbes: %d",
	"TcpExt.TCPLossProbeRecovery": "TCPLossProbeRecovery: %d",
}

// netstatAlways are written where they are zero too.
var netstatAlways = []string{
	"Ip.InReceives", "Ip.ForwDatagrams", "Ip.InDiscards", "Ip.InDelivers", "Ip.OutRequests", "Icmp.InMsgs", "Icmp.InErrors", "Icmp.OutMsgs",
	"Tcp.ActiveOpens", "Tcp.PassiveOpens", "Tcp.AttemptFails", "Tcp.EstabResets", "Tcp.CurrEstab", "Tcp.InSegs", "Tcp.OutSegs", "Tcp.RetransSegs",
	"Tcp.InErrs", "Tcp.OutRsts", "Udp.InDatagrams", "Udp.NoPorts", "Udp.InErrors", "Udp.OutDatagrams",
}

// runNetstat knows -s alone; ss and ip show what the rest of netstat does.
func runNetstat(p *program, args []string) int {
	f := p.flags()
	statistics := f.BoolP("statistics", "s", false, "counters of every protocol")
	onlyTCP := f.BoolP("tcp", "t", false, "only of TCP")
	onlyUDP := f.BoolP("udp", "u", false, "only of UDP")
	if _, exit, done := f.parse(args, 0, 0); done {
		return exit
	}
	if !*statistics {
		return p.fail(exitFailure, "only -s is there yet; ss shows sockets, ip route routes")
	}
	var all []stack.Counter
	p.net.Inspect(func(_ sim.Time, s *stack.Stack) { all = counters(s) })
	for _, g := range netstatGroups {
		if (*onlyTCP || *onlyUDP) && !(*onlyTCP && strings.HasPrefix(g.title, "Tcp")) && !(*onlyUDP && g.title == "Udp") {
			continue
		}
		lines := netstatLines(all, g.prefix)
		if lines != "" {
			p.printf("%s:\n%s", g.title, lines)
		}
	}
	return exitOK
}

func netstatLines(all []stack.Counter, prefix string) string {
	var b strings.Builder
	for _, c := range all {
		if !strings.HasPrefix(c.Name, prefix) || c.Value == 0 && !slices.Contains(netstatAlways, c.Name) {
			continue
		}
		words := netstatWords[c.Name]
		if words == "" {
			words = strings.TrimPrefix(c.Name, prefix) + ": %d"
		}
		fmt.Fprintf(&b, "    "+words+"\n", c.Value)
	}
	return b.String()
}
