package stack

import (
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/tcp"
)

// Sysctl are a machine's settings, with Linux's names in sysctlTable and Linux's
// defaults in DefaultSysctl. Per-interface settings (conf.eth0.*) do not exist
// apart: what is set for all holds for every interface.
type Sysctl struct {
	// net.ipv4
	IPForward                   bool
	IPDefaultTTL                int
	IPNoPMTUDisc                bool
	MinPMTU                     int
	MTUExpires                  sim.Duration
	FragTime                    sim.Duration
	FragHighThresh              int
	LocalPortLow, LocalPortHigh int

	// net.ipv4.icmp_*
	ICMPEchoIgnoreAll           bool
	ICMPEchoIgnoreBroadcasts    bool
	ICMPRateLimit               sim.Duration
	ICMPRateMask                int
	ICMPMsgsPerSec              int
	ICMPMsgsBurst               int
	ICMPErrorsUseInboundAddress bool

	// net.ipv4.conf.all.*
	RPFilter        int
	SendRedirects   bool
	AcceptRedirects bool
	ARPIgnore       int
	ARPAnnounce     int
	ARPFilter       bool
	ARPAccept       int
	ARPNotify       bool
	ProxyARP        bool

	// net.ipv4.neigh.default.*, for both families
	NeighBaseReachable                             sim.Duration
	NeighDelayFirstProbe                           sim.Duration
	NeighRetrans                                   sim.Duration
	NeighMcastSolicit                              int
	NeighUcastSolicit                              int
	NeighUnresolvedBytes                           int
	NeighGCStale                                   sim.Duration
	NeighGCThresh1, NeighGCThresh2, NeighGCThresh3 int
	NeighLockTime                                  sim.Duration

	// net.core
	RmemDefault int
	Somaxconn   int

	// net.ipv4.tcp_*
	TCP *tcp.Sysctl

	// net.ipv6
	IPv6 IPv6Sysctl
}

// DefaultSysctl returns Linux's defaults.
func DefaultSysctl() *Sysctl {
	return &Sysctl{
		IPDefaultTTL: 64, MinPMTU: 552, MTUExpires: 600 * time.Second,
		FragTime: 30 * time.Second, FragHighThresh: 4 << 20,
		LocalPortLow: 32768, LocalPortHigh: 60999,
		ICMPEchoIgnoreBroadcasts: true, ICMPRateLimit: time.Second, ICMPRateMask: 6168,
		ICMPMsgsPerSec: 1000, ICMPMsgsBurst: 50,
		SendRedirects: true, AcceptRedirects: true,
		NeighBaseReachable: 30 * time.Second, NeighDelayFirstProbe: 5 * time.Second, NeighRetrans: time.Second,
		NeighMcastSolicit: 3, NeighUcastSolicit: 3, NeighUnresolvedBytes: 212992, NeighGCStale: 60 * time.Second,
		NeighGCThresh1: 128, NeighGCThresh2: 512, NeighGCThresh3: 1024, NeighLockTime: time.Second,
		RmemDefault: 212992, Somaxconn: 4096, TCP: tcp.DefaultSysctl(),
		IPv6: defaultIPv6Sysctl(),
	}
}

// defaultSysctl is shared by the machines that changed nothing.
var defaultSysctl = DefaultSysctl()

// Sysctl is the machine's settings, to be read only.
func (s *Stack) Sysctl() *Sysctl { return s.sysctl }

// ownSettings are the machine's settings to be changed: a copy of those it shared
// until now.
func (s *Stack) ownSettings() *Sysctl {
	if !s.ownSysctl {
		own := *s.sysctl
		s.sysctl, s.ownSysctl = &own, true
	}
	return s.sysctl
}
