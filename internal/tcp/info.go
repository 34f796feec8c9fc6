package tcp

import "github.com/hopyard/hopyard/internal/sim"

// Info is what struct tcp_info tells (getsockopt TCP_INFO, ss -i). Times are
// durations, sizes bytes, counts segments.
type Info struct {
	State       State
	CAState     string // open, disorder, cwr, recovery, loss
	Congestion  string
	Retransmits int // timeouts in a row
	Probes      int
	Backoff     int
	Timer       string // what the retransmission timer is for: on, persist, probe, reorder; "" none
	TimerLeft   sim.Duration
	// KeepaliveLeft is until the timer of keepalive, of an orphan's FIN-WAIT-2 or of
	// TIME-WAIT; -1: it does not run.
	KeepaliveLeft sim.Duration

	Timestamps, SACK, WindowScaling, ECN, ECNSeen bool
	SendScale, ReceiveScale                       int

	RTO, ATO                         sim.Duration
	SendMSS, ReceiveMSS, AdvMSS      int
	Unacked, Sacked, Lost, Retrans   int
	LastDataSent, LastDataReceived   sim.Duration // ago
	LastAckReceived                  sim.Duration
	PathMTU                          int
	ReceiveSsthresh                  int
	RTT, RTTVar, MinRTT              sim.Duration
	Ssthresh, Cwnd                   int // Ssthresh: infinite is 2147483647
	Reordering                       int
	ReceiveRTT                       sim.Duration
	ReceiveSpace                     int
	TotalRetrans                     int
	PacingRate                       uint64 // bytes a second
	BytesAcked, BytesReceived        uint64
	BytesRetrans                     uint64
	SegmentsIn, SegmentsOut          int
	DataSegmentsIn, DataSegmentsOut  int
	NotSent                          int // bytes
	Delivered, DeliveredCE           int
	DeliveryRate                     uint64 // bytes a second
	DeliveryRateLimited              bool
	DSACKs, ReorderSeen              int
	SendWindow, ReceiveWindow        int
	ReceiveQueue, SendQueue          int // bytes unread; bytes not acknowledged
	ReceiveOutOfOrder                int // bytes behind a hole
	SendBuffer, ReceiveBuffer        int
	SndUna, SndNxt, RcvNxt, ISS, IRS uint32
	InFlight                         int // segments
}

// Info tells the state of the connection.
func (c *Conn) Info(now sim.Time) Info {
	i := Info{
		State: c.state, CAState: caNames[c.caState], Congestion: c.congestion.name(),
		Retransmits: int(c.retransmits), Probes: int(c.probesOut), Backoff: int(c.backoff), Timer: pendingNames[c.pending],
		Timestamps: c.tsEnabled, SACK: c.sackEnabled, WindowScaling: c.scaling, ECN: c.ecn&ecnOK != 0, ECNSeen: c.ecn&ecnSeen != 0,
		SendScale: int(c.sndScale), ReceiveScale: int(c.rcvScale),
		RTO: c.rto, ATO: c.ack.ato, SendMSS: c.mss, ReceiveMSS: c.ack.mss, AdvMSS: c.advMSS,
		Unacked: int(c.packetsOut), Sacked: int(c.sackedOut), Lost: int(c.lostOut), Retrans: int(c.retransOut),
		LastDataSent: now.Sub(c.lastSent), LastDataReceived: now.Sub(c.ack.lastData), LastAckReceived: now.Sub(c.lastAckArrived),
		PathMTU: c.pathMTU, ReceiveSsthresh: int(c.ssthreshIn),
		RTT: sim.Duration(c.srtt>>3) * 1000, RTTVar: sim.Duration(c.mdev>>2) * 1000, MinRTT: c.minRTT.best(),
		Ssthresh: int(c.ssthresh), Cwnd: int(c.cwnd), Reordering: int(c.reordering),
		ReceiveRTT: sim.Duration(c.space.rtt>>3) * 1000, ReceiveSpace: int(c.space.space), TotalRetrans: int(c.totalRetrans),
		PacingRate: c.pacingRate(), BytesAcked: c.bytesAcked, BytesReceived: c.bytesReceived, BytesRetrans: c.bytesRetrans,
		SegmentsIn: int(c.segsIn), SegmentsOut: int(c.segsOut), DataSegmentsIn: int(c.dataSegsIn), DataSegmentsOut: int(c.dataSegsOut),
		NotSent: c.notSent(), Delivered: int(c.delivered), DeliveredCE: int(c.deliveredCE), DeliveryRateLimited: c.rateLimited,
		DSACKs: int(c.dsackDups), ReorderSeen: int(c.reordersSeen),
		SendWindow: int(c.sndWnd), ReceiveWindow: int(c.receiveWindow()), ReceiveQueue: c.in.n, SendQueue: c.out.n,
		ReceiveOutOfOrder: c.outOfOrder(), SendBuffer: c.sndbuf, ReceiveBuffer: c.rcvbuf,
		SndUna: c.sndUna, SndNxt: c.sndNxt, RcvNxt: c.rcvNxt, ISS: c.iss, IRS: c.irs, InFlight: int(c.inFlight()),
	}
	if c.rateInterval > 0 {
		i.DeliveryRate = uint64(c.rateCount) * uint64(c.mss) * 1e9 / uint64(c.rateInterval)
	}
	i.KeepaliveLeft = -1
	if c.keepalive != sim.Never {
		i.KeepaliveLeft = c.keepalive.Sub(now)
	}
	if c.retransmit != sim.Never {
		i.TimerLeft = c.retransmit.Sub(now)
	}
	return i
}

// pacingRate is tcp_update_pacing_rate: what sending at an even pace would need,
// twice that in slow start; bytes a second.
func (c *Conn) pacingRate() uint64 {
	if c.srtt == 0 {
		return 0
	}
	percent := uint64(120)
	if c.cwnd < c.ssthresh/2 {
		percent = 200
	}
	return uint64(c.mss) * uint64(max(c.cwnd, c.packetsOut)) * percent / 100 * 8 * 1e6 / uint64(c.srtt)
}
