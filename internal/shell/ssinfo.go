package shell

import (
	"fmt"
	"strings"

	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/tcp"
)

// infoLine gathers words of ss -i; those with a zero value are left out, as
// there.
type infoLine struct{ words []string }

func (l *infoLine) flag(on bool, word string) {
	if on {
		l.words = append(l.words, word)
	}
}

func (l *infoLine) count(name string, n int) {
	l.flag(n != 0, fmt.Sprintf("%s:%d", name, n))
}

func (l *infoLine) add(format string, args ...any) {
	l.words = append(l.words, fmt.Sprintf(format, args...))
}

// ssInfo is TCP_INFO in iproute2's words and order.
func ssInfo(i *tcp.Info) string {
	var l infoLine
	l.flag(i.Timestamps, "ts")
	l.flag(i.SACK, "sack")
	l.flag(i.ECN, "ecn")
	l.flag(i.ECNSeen, "ecnseen")
	l.add("%s", i.Congestion)
	l.flag(i.WindowScaling, fmt.Sprintf("wscale:%d,%d", i.SendScale, i.ReceiveScale))
	l.flag(i.RTO > 0, "rto:"+ssMillis(i.RTO))
	l.count("backoff", i.Backoff)
	l.flag(i.RTT > 0, "rtt:"+ssMillis(i.RTT)+"/"+ssMillis(i.RTTVar))
	l.flag(i.ATO > 0, "ato:"+ssMillis(i.ATO))
	l.add("mss:%d", i.SendMSS)
	l.count("pmtu", i.PathMTU)
	l.count("rcvmss", i.ReceiveMSS)
	l.count("advmss", i.AdvMSS)
	l.add("cwnd:%d", i.Cwnd)
	l.flag(i.Ssthresh < ssthreshInfinite, fmt.Sprintf("ssthresh:%d", i.Ssthresh))
	l.count("bytes_sent", bytesSent(i))
	l.count("bytes_retrans", int(i.BytesRetrans))
	l.count("bytes_acked", int(i.BytesAcked))
	l.count("bytes_received", int(i.BytesReceived))
	l.count("segs_out", i.SegmentsOut)
	l.count("segs_in", i.SegmentsIn)
	l.count("data_segs_out", i.DataSegmentsOut)
	l.count("data_segs_in", i.DataSegmentsIn)
	if i.RTT > 0 {
		l.add("send %.0fbps", float64(i.SendMSS)*8*float64(i.Cwnd)/i.RTT.Seconds())
	}
	l.count("lastsnd", int(i.LastDataSent.Milliseconds()))
	l.count("lastrcv", int(i.LastDataReceived.Milliseconds()))
	l.count("lastack", int(i.LastAckReceived.Milliseconds()))
	l.flag(i.PacingRate > 0, fmt.Sprintf("pacing_rate %dbps", 8*i.PacingRate))
	l.flag(i.DeliveryRate > 0, fmt.Sprintf("delivery_rate %dbps", 8*i.DeliveryRate))
	l.count("delivered", i.Delivered)
	l.count("delivered_ce", i.DeliveredCE)
	l.flag(i.DeliveryRateLimited, "app_limited")
	l.count("unacked", i.Unacked)
	l.flag(i.Retrans > 0 || i.TotalRetrans > 0, fmt.Sprintf("retrans:%d/%d", i.Retrans, i.TotalRetrans))
	l.count("lost", i.Lost)
	l.count("sacked", i.Sacked)
	l.count("dsack_dups", i.DSACKs)
	l.flag(i.Reordering != 3, fmt.Sprintf("reordering:%d", i.Reordering))
	l.count("reord_seen", i.ReorderSeen)
	l.flag(i.ReceiveRTT > 0, "rcv_rtt:"+ssMillis(i.ReceiveRTT))
	l.count("rcv_space", i.ReceiveSpace)
	l.count("rcv_ssthresh", i.ReceiveSsthresh)
	l.count("notsent", i.NotSent)
	l.flag(i.MinRTT > 0, "minrtt:"+ssMillis(i.MinRTT))
	l.count("snd_wnd", i.SendWindow)
	return strings.Join(l.words, " ")
}

// ssthreshInfinite is from where ss leaves ssthresh out (0xFFFF in iproute2).
const ssthreshInfinite = 0xffff

// bytesSent is tcpi_bytes_sent: every byte that went out, each time it did.
// bytes_acked counts SYN and FIN as bytes, and this does not.
func bytesSent(i *tcp.Info) int {
	n := int(i.BytesAcked) + int(i.SndNxt-i.SndUna) + int(i.BytesRetrans) - 1
	switch i.State {
	case tcp.SynSent, tcp.SynReceived:
		return 0
	case tcp.FinWait1, tcp.FinWait2, tcp.Closing, tcp.LastAck, tcp.TimeWait:
		n--
	}
	return max(n, 0)
}

// ssSummary is ss -s, as far as there are such sockets.
func ssSummary(s *stack.Stack) string {
	var established, closed, orphaned, timewait, tcp4, tcp6, udp4, udp6 int
	for _, t := range s.TCPSockets() {
		if t.Local().Addr().Is6() {
			tcp6++
		} else {
			tcp4++
		}
		switch tcpState(t) {
		case tcp.Established:
			established++
		case tcp.TimeWait:
			timewait++
			closed++
		case tcp.Closed:
			closed++
		case tcp.Listen:
		default:
			if t.Conn().Orphan() {
				orphaned++
			}
		}
	}
	for _, u := range s.UDPSockets() {
		if u.IsV6() {
			udp6++
		} else {
			udp4++
		}
	}
	live := tcp4 + tcp6 - timewait
	var b strings.Builder
	fmt.Fprintf(&b, "Total: %d\n", live+udp4+udp6)
	fmt.Fprintf(&b, "TCP:   %d (estab %d, closed %d, orphaned %d, timewait %d)\n\n", tcp4+tcp6, established, closed, orphaned, timewait)
	b.WriteString("Transport Total     IP        IPv6\n")
	for _, r := range []struct {
		name    string
		ip, ip6 int
	}{{"UDP", udp4, udp6}, {"TCP", live - tcp6, tcp6}} {
		fmt.Fprintf(&b, "%s\t  %-9d %-9d %d\n", r.name, r.ip+r.ip6, r.ip, r.ip6)
	}
	return b.String()
}
