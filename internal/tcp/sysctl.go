package tcp

import (
	"time"

	"github.com/hopyard/hopyard/internal/sim"
)

// Sysctl are a machine's settings net.ipv4.tcp_*, which IPv6 shares. Times that
// Linux counts in seconds are durations here.
type Sysctl struct {
	WindowScaling      bool         // tcp_window_scaling
	Timestamps         bool         // tcp_timestamps
	SACK               bool         // tcp_sack
	DSACK              bool         // tcp_dsack
	ECN                int          // tcp_ecn: 0 never, 1 ask and accept, 2 accept
	SynRetries         int          // tcp_syn_retries
	SynLinearTimeouts  int          // tcp_syn_linear_timeouts
	SynAckRetries      int          // tcp_synack_retries
	SynCookies         int          // tcp_syncookies: 0 never, 1 when the queue is full, 2 always
	MaxSynBacklog      int          // tcp_max_syn_backlog
	AbortOnOverflow    bool         // tcp_abort_on_overflow
	Retries1           int          // tcp_retries1
	Retries2           int          // tcp_retries2
	OrphanRetries      int          // tcp_orphan_retries
	FinTimeout         sim.Duration // tcp_fin_timeout
	TwReuse            int          // tcp_tw_reuse: 0 never, 1 always, 2 on loopback
	RFC1337            bool         // tcp_rfc1337
	KeepaliveTime      sim.Duration // tcp_keepalive_time
	KeepaliveInterval  sim.Duration // tcp_keepalive_intvl
	KeepaliveProbes    int          // tcp_keepalive_probes
	Recovery           int          // tcp_recovery: 1 RACK
	EarlyRetrans       int          // tcp_early_retrans: 3 tail loss probes
	FRTO               int          // tcp_frto
	Reordering         int          // tcp_reordering
	MaxReordering      int          // tcp_max_reordering
	SlowStartAfterIdle bool         // tcp_slow_start_after_idle
	ModerateRcvbuf     bool         // tcp_moderate_rcvbuf
	Rmem               [3]int       // tcp_rmem
	Wmem               [3]int       // tcp_wmem
	Mem                int          // the last of tcp_mem, in bytes
	RTOMin             sim.Duration // tcp_rto_min_us
	RTOMax             sim.Duration // tcp_rto_max_ms
	MinRTTWindow       sim.Duration // tcp_min_rtt_wlen
	InvalidRateLimit   sim.Duration // tcp_invalid_ratelimit
	ChallengeAckLimit  int          // tcp_challenge_ack_limit
	NotsentLowat       int          // tcp_notsent_lowat
	MinSndMSS          int          // tcp_min_snd_mss
	CompSackDelay      sim.Duration // tcp_comp_sack_delay_ns
	CompSackCount      int          // tcp_comp_sack_nr
	Congestion         string       // tcp_congestion_control
}

// DefaultSysctl returns Linux's defaults, of version 6.18.
func DefaultSysctl() *Sysctl {
	return &Sysctl{
		WindowScaling: true, Timestamps: true, SACK: true, DSACK: true, ECN: 2,
		SynRetries: 6, SynLinearTimeouts: 4, SynAckRetries: 5, SynCookies: 1, MaxSynBacklog: 2048,
		Retries1: 3, Retries2: 15, FinTimeout: 60 * time.Second, TwReuse: 2,
		KeepaliveTime: 7200 * time.Second, KeepaliveInterval: 75 * time.Second, KeepaliveProbes: 9,
		Recovery: 1, EarlyRetrans: 3, FRTO: 2, Reordering: 3, MaxReordering: 300,
		SlowStartAfterIdle: true, ModerateRcvbuf: true,
		Rmem: [3]int{4096, 131072, 32 << 20}, Wmem: [3]int{4096, 16384, 4 << 20}, Mem: 2 << 30,
		RTOMin: 200 * time.Millisecond, RTOMax: 120 * time.Second, MinRTTWindow: 300 * time.Second,
		InvalidRateLimit: 500 * time.Millisecond, ChallengeAckLimit: 1<<31 - 1,
		NotsentLowat: 1<<31 - 1, MinSndMSS: 48, CompSackDelay: time.Millisecond, CompSackCount: 44,
		Congestion: "cubic",
	}
}

// Times and counts that are not settings in Linux (include/net/tcp.h).
const (
	rtoInitial       = time.Second            // TCP_TIMEOUT_INIT; RFC 6298 2.1
	delayedAckMin    = 40 * time.Millisecond  // TCP_DELACK_MIN, TCP_ATO_MIN
	delayedAckMax    = 200 * time.Millisecond // TCP_DELACK_MAX
	timeoutMin       = 2 * time.Millisecond   // TCP_TIMEOUT_MIN: two ticks
	timeWaitLen      = 60 * time.Second       // TCP_TIMEWAIT_LEN; RFC 9293's 2 MSL would be four minutes
	resourceProbe    = 500 * time.Millisecond // TCP_RESOURCE_PROBE_INTERVAL
	quickAcksMax     = 16                     // TCP_MAX_QUICKACKS
	initialCwnd      = 10                     // TCP_INIT_CWND; RFC 6928
	windowScaleMax   = 14                     // RFC 7323 2.3
	mssDefault       = 536                    // RFC 9293 3.7.1
	mssMin           = 88                     // TCP_MIN_MSS
	dupThresh        = 3                      // TCP_FASTRETRANS_THRESH; RFC 5681 3.2
	timestampLen     = 12                     // TCPOLEN_TSTAMP_ALIGNED
	pawsWindow       = 1                      // TCP_PAWS_WINDOW
	pawsIdle         = 24 * 24 * time.Hour    // TCP_PAWS_24DAYS; RFC 7323 5.5
	ssthreshInfinite = 1<<31 - 1              // TCP_INFINITE_SSTHRESH
)
