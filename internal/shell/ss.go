package shell

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/tcp"
)

// ssView is what ss is asked to show.
type ssView struct {
	tcp, udp, v4, v6                   bool
	all, listening, numeric            bool
	info, options, noHeader, statistic bool
}

// ssRow is one socket as ss writes it.
type ssRow struct {
	netid, state     string
	receive, send    int
	local, localPort string
	peer, peerPort   string
	rest, info       string
}

// ssStates are the states' names in ss.
var ssStates = map[tcp.State]string{
	tcp.Established: "ESTAB", tcp.SynSent: "SYN-SENT", tcp.SynReceived: "SYN-RECV", tcp.FinWait1: "FIN-WAIT-1", tcp.FinWait2: "FIN-WAIT-2",
	tcp.TimeWait: "TIME-WAIT", tcp.Closed: "UNCONN", tcp.CloseWait: "CLOSE-WAIT", tcp.LastAck: "LAST-ACK", tcp.Listen: "LISTEN", tcp.Closing: "CLOSING",
}

// ssServices are the names of ports that ss writes without -n, of those in
// /etc/services that labs use.
var ssServices = map[uint16]string{
	7: "echo", 9: "discard", 13: "daytime", 19: "chargen", 20: "ftp-data", 21: "ftp", 22: "ssh", 23: "telnet", 25: "smtp", 37: "time", 53: "domain",
	67: "bootps", 68: "bootpc", 69: "tftp", 80: "http", 110: "pop3", 123: "ntp", 143: "imap2", 161: "snmp", 179: "bgp", 443: "https", 8080: "http-alt",
}

func runSS(p *program, args []string) int {
	v := &ssView{}
	f := p.flags()
	f.BoolVarP(&v.tcp, "tcp", "t", false, "TCP sockets")
	f.BoolVarP(&v.udp, "udp", "u", false, "UDP sockets")
	f.BoolVarP(&v.v4, "ipv4", "4", false, "only IPv4")
	f.BoolVarP(&v.v6, "ipv6", "6", false, "only IPv6")
	f.BoolVarP(&v.all, "all", "a", false, "those that listen too, and those that are ending")
	f.BoolVarP(&v.listening, "listening", "l", false, "only those that listen")
	f.BoolVarP(&v.numeric, "numeric", "n", false, "ports as numbers")
	f.BoolVarP(&v.info, "info", "i", false, "TCP's own view of each connection")
	f.BoolVarP(&v.options, "options", "o", false, "the timer that runs")
	f.BoolVarP(&v.noHeader, "no-header", "H", false, "no header line")
	f.BoolVarP(&v.statistic, "summary", "s", false, "how many sockets there are")
	f.later("processes", "p", "showing processes is")
	f.later("memory", "m", "showing memory is")
	f.later("extended", "e", "showing more of a socket is")
	if _, exit, done := f.parse(args, 0, 0); done {
		return exit
	}
	if !v.tcp && !v.udp {
		v.tcp, v.udp = true, true
	}
	if v.v4 == v.v6 {
		v.v4, v.v6 = true, true
	}
	var rows []ssRow
	var text string
	p.net.Inspect(func(now sim.Time, s *stack.Stack) {
		if v.statistic {
			text = ssSummary(s)
			return
		}
		rows = v.rows(now, s)
	})
	if v.statistic {
		p.printf("%s", text)
		return exitOK
	}
	p.printf("%s", v.table(rows))
	return exitOK
}

func (v *ssView) rows(now sim.Time, s *stack.Stack) (rows []ssRow) {
	for _, six := range []bool{false, true} { // the kernel lists one family after the other
		if six && !v.v6 || !six && !v.v4 {
			continue
		}
		if v.udp {
			for _, u := range s.UDPSockets() {
				if u.IsV6() == six && v.wants(udpState(u)) {
					rows = append(rows, v.udpRow(u))
				}
			}
		}
		if v.tcp {
			for _, t := range s.TCPSockets() {
				if (t.IsV6() && (t.Conn() == nil || t.Local().Addr().Is6())) == six && v.wants(tcpState(t)) {
					rows = append(rows, v.tcpRow(now, t))
				}
				if t.Listener() != nil && v.all {
					rows = append(rows, v.requests(now, t, six)...)
				}
			}
		}
	}
	return rows
}

func tcpState(t *stack.TCP) tcp.State {
	switch {
	case t.Listener() != nil:
		return tcp.Listen
	case t.Conn() != nil:
		return t.Conn().State()
	}
	return tcp.Closed
}

// udpState is a UDP socket's state as the kernel has it: TCP_ESTABLISHED where it
// is connected.
func udpState(u *stack.UDP) tcp.State {
	if u.Remote().IsValid() {
		return tcp.Established
	}
	return tcp.Closed
}

// wants chooses by state, as ss does: by default what has a peer, and is neither
// ending for good nor beginning (SS_CONN).
func (v *ssView) wants(s tcp.State) bool {
	switch {
	case v.all:
		return true
	case v.listening:
		return s == tcp.Listen || s == tcp.Closed
	}
	return s != tcp.Listen && s != tcp.Closed && s != tcp.TimeWait && s != tcp.SynReceived
}

func (v *ssView) udpRow(u *stack.UDP) ssRow {
	r := ssRow{netid: "udp", state: ssStates[udpState(u)], receive: u.Queued()}
	v.ends(&r, u.Local(), u.Remote(), u.IsV6(), u.Options)
	return r
}

func (v *ssView) tcpRow(now sim.Time, t *stack.TCP) ssRow {
	r := ssRow{netid: "tcp", state: ssStates[tcpState(t)]}
	v.ends(&r, t.Local(), t.Remote(), t.IsV6(), t.Options)
	if l := t.Listener(); l != nil {
		r.receive, r.send = l.Waiting(), l.Backlog()
		if v.info {
			congestion := t.TCPOptions.Congestion
			if congestion == "" {
				congestion = t.Stack().Sysctl().TCP.Congestion
			}
			r.info = congestion + " cwnd:10"
		}
		return r
	}
	i := t.Conn().Info(now)
	r.receive, r.send = i.ReceiveQueue, i.SendQueue
	switch i.State { // a SYN or FIN that is not acknowledged counts
	case tcp.SynSent, tcp.FinWait1, tcp.Closing, tcp.LastAck:
		r.send++
	}
	if v.options {
		r.rest = ssTimer(&i, t.Conn().Orphan())
	}
	if v.info && i.State != tcp.TimeWait {
		r.info = ssInfo(&i)
	}
	return r
}

// requests are the handshakes under way at a listener, of one family: connections
// that have no socket yet.
func (v *ssView) requests(now sim.Time, t *stack.TCP, six bool) (rows []ssRow) {
	for _, q := range t.Listener().Requests(now) {
		if q.Remote.Addr().Is6() != six {
			continue
		}
		r := ssRow{netid: "tcp", state: ssStates[tcp.SynReceived]}
		v.ends(&r, q.Local, q.Remote, six, t.Options)
		if v.options {
			r.rest = fmt.Sprintf("timer:(on,%s,%d)", ssTime(q.TimerLeft), q.Retries)
		}
		rows = append(rows, r)
	}
	return rows
}

func (v *ssView) ends(r *ssRow, local, remote netip.AddrPort, six bool, o stack.SocketOptions) {
	device := ""
	if o.Interface != nil {
		device = "%" + o.Interface.Name()
	}
	any6 := "*" // a socket of IPv6 that takes IPv4 too
	if o.V6Only {
		any6 = "[::]"
	}
	address := func(a netip.Addr) string {
		switch {
		case (!a.IsValid() || a.IsUnspecified()) && six:
			return any6
		case !a.IsValid() || a.IsUnspecified():
			return "0.0.0.0"
		case a.Is6():
			return "[" + a.String() + "]"
		}
		return a.String()
	}
	r.local, r.localPort = address(local.Addr())+device, v.port(local.Port())
	r.peer, r.peerPort = address(remote.Addr()), v.port(remote.Port())
}

func (v *ssView) port(n uint16) string {
	if n == 0 {
		return "*"
	}
	if name := ssServices[n]; name != "" && !v.numeric {
		return name
	}
	return strconv.Itoa(int(n))
}

// ssTimer is -o's column: what runs, how long it has left, how often it struck.
func ssTimer(i *tcp.Info, orphan bool) string {
	switch {
	case i.Timer == "persist":
		return fmt.Sprintf("timer:(persist,%s,%d)", ssTime(i.TimerLeft), i.Probes)
	case i.Timer != "": // loss probe and reordering too: ICSK_TIME_LOSS_PROBE counts as retransmission
		return fmt.Sprintf("timer:(on,%s,%d)", ssTime(i.TimerLeft), i.Retransmits)
	case i.KeepaliveLeft < 0:
		return ""
	case i.State == tcp.TimeWait || i.State == tcp.FinWait2 && orphan:
		return fmt.Sprintf("timer:(timewait,%s,0)", ssTime(i.KeepaliveLeft))
	}
	return fmt.Sprintf("timer:(keepalive,%s,%d)", ssTime(i.KeepaliveLeft), i.Probes)
}

// ssTime writes a timer's rest as iproute2 does: 59sec, 1min30sec, 200ms, and
// 1.500ms for a second and a half.
func ssTime(d sim.Duration) string {
	ms := d.Milliseconds()
	minutes, seconds, rest := ms/60_000, ms/1000%60, ms%1000
	text := ""
	if minutes > 0 {
		text = fmt.Sprintf("%dmin", minutes)
		rest = 0
		if minutes > 9 {
			seconds = 0
		}
	}
	if seconds > 9 {
		rest = 0
	}
	switch {
	case seconds > 0 && rest > 0:
		return fmt.Sprintf("%s%d.%03dms", text, seconds, rest)
	case seconds > 0:
		return fmt.Sprintf("%s%dsec", text, seconds)
	case rest > 0 || text == "":
		return fmt.Sprintf("%03dms", rest)
	}
	return text
}

// ssMillis writes a time as ss does (%g): six digits.
func ssMillis(d sim.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'g', 6, 64)
}

// table lines the sockets up: names of columns, then a row each.
func (v *ssView) table(rows []ssRow) string {
	head := ssRow{netid: "Netid", state: "State", local: "Local Address", localPort: "Port", peer: "Peer Address", peerPort: "Port", rest: "Process"}
	w := head
	widths := [6]int{}
	for _, r := range append(rows, head) {
		for i, s := range []string{r.netid, r.state, r.local, r.localPort, r.peer, r.peerPort} {
			widths[i] = max(widths[i], len(s))
		}
	}
	var b strings.Builder
	line := func(r ssRow, receive, send string) {
		if v.tcp && v.udp {
			fmt.Fprintf(&b, "%-*s ", widths[0], r.netid)
		}
		text := fmt.Sprintf("%-*s %-6s %-6s %*s:%-*s %*s:%-*s %s", widths[1], r.state, receive, send,
			widths[2], r.local, widths[3], r.localPort, widths[4], r.peer, widths[5], r.peerPort, r.rest)
		b.WriteString(strings.TrimRight(text, " ") + "\n")
		if r.info != "" {
			b.WriteString("\t " + r.info + "\n")
		}
	}
	if !v.noHeader {
		line(w, "Recv-Q", "Send-Q")
	}
	for _, r := range rows {
		line(r, strconv.Itoa(r.receive), strconv.Itoa(r.send))
	}
	return b.String()
}
