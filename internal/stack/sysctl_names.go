package stack

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/tcp"
)

// sysctl is a setting by its Linux name: how its text becomes a value.
type sysctl struct {
	name string
	set  func(c *Sysctl, text string) error
}

// sysctlTable is all settings, sorted by name.
var sysctlTable = []sysctl{
	{"net.core.rmem_default", number(func(c *Sysctl) *int { return &c.RmemDefault })},
	{"net.core.somaxconn", number(func(c *Sysctl) *int { return &c.Somaxconn })},
	{"net.ipv4.conf.all.accept_redirects", flag(func(c *Sysctl) *bool { return &c.AcceptRedirects })},
	{"net.ipv4.conf.all.arp_accept", number(func(c *Sysctl) *int { return &c.ARPAccept })},
	{"net.ipv4.conf.all.arp_announce", number(func(c *Sysctl) *int { return &c.ARPAnnounce })},
	{"net.ipv4.conf.all.arp_filter", flag(func(c *Sysctl) *bool { return &c.ARPFilter })},
	{"net.ipv4.conf.all.arp_ignore", number(func(c *Sysctl) *int { return &c.ARPIgnore })},
	{"net.ipv4.conf.all.arp_notify", flag(func(c *Sysctl) *bool { return &c.ARPNotify })},
	{"net.ipv4.conf.all.proxy_arp", flag(func(c *Sysctl) *bool { return &c.ProxyARP })},
	{"net.ipv4.conf.all.rp_filter", number(func(c *Sysctl) *int { return &c.RPFilter })},
	{"net.ipv4.conf.all.send_redirects", flag(func(c *Sysctl) *bool { return &c.SendRedirects })},
	{"net.ipv4.icmp_echo_ignore_all", flag(func(c *Sysctl) *bool { return &c.ICMPEchoIgnoreAll })},
	{"net.ipv4.icmp_echo_ignore_broadcasts", flag(func(c *Sysctl) *bool { return &c.ICMPEchoIgnoreBroadcasts })},
	{"net.ipv4.icmp_errors_use_inbound_ifaddr", flag(func(c *Sysctl) *bool { return &c.ICMPErrorsUseInboundAddress })},
	{"net.ipv4.icmp_msgs_burst", number(func(c *Sysctl) *int { return &c.ICMPMsgsBurst })},
	{"net.ipv4.icmp_msgs_per_sec", number(func(c *Sysctl) *int { return &c.ICMPMsgsPerSec })},
	{"net.ipv4.icmp_ratelimit", span(time.Millisecond, func(c *Sysctl) *sim.Duration { return &c.ICMPRateLimit })},
	{"net.ipv4.icmp_ratemask", number(func(c *Sysctl) *int { return &c.ICMPRateMask })},
	{"net.ipv4.ip_default_ttl", number(func(c *Sysctl) *int { return &c.IPDefaultTTL })},
	{"net.ipv4.ip_forward", flag(func(c *Sysctl) *bool { return &c.IPForward })},
	{"net.ipv4.ip_local_port_range", setPortRange},
	{"net.ipv4.ip_no_pmtu_disc", flag(func(c *Sysctl) *bool { return &c.IPNoPMTUDisc })},
	{"net.ipv4.ipfrag_high_thresh", number(func(c *Sysctl) *int { return &c.FragHighThresh })},
	{"net.ipv4.ipfrag_time", span(time.Second, func(c *Sysctl) *sim.Duration { return &c.FragTime })},
	{"net.ipv4.neigh.default.base_reachable_time_ms", span(time.Millisecond, func(c *Sysctl) *sim.Duration { return &c.NeighBaseReachable })},
	{"net.ipv4.neigh.default.delay_first_probe_time", span(time.Second, func(c *Sysctl) *sim.Duration { return &c.NeighDelayFirstProbe })},
	{"net.ipv4.neigh.default.gc_stale_time", span(time.Second, func(c *Sysctl) *sim.Duration { return &c.NeighGCStale })},
	{"net.ipv4.neigh.default.gc_thresh1", number(func(c *Sysctl) *int { return &c.NeighGCThresh1 })},
	{"net.ipv4.neigh.default.gc_thresh2", number(func(c *Sysctl) *int { return &c.NeighGCThresh2 })},
	{"net.ipv4.neigh.default.gc_thresh3", number(func(c *Sysctl) *int { return &c.NeighGCThresh3 })},
	{"net.ipv4.neigh.default.mcast_solicit", number(func(c *Sysctl) *int { return &c.NeighMcastSolicit })},
	{"net.ipv4.neigh.default.retrans_time_ms", span(time.Millisecond, func(c *Sysctl) *sim.Duration { return &c.NeighRetrans })},
	{"net.ipv4.neigh.default.ucast_solicit", number(func(c *Sysctl) *int { return &c.NeighUcastSolicit })},
	{"net.ipv4.neigh.default.unres_qlen_bytes", number(func(c *Sysctl) *int { return &c.NeighUnresolvedBytes })},
	{"net.ipv4.route.min_pmtu", number(func(c *Sysctl) *int { return &c.MinPMTU })},
	{"net.ipv4.route.mtu_expires", span(time.Second, func(c *Sysctl) *sim.Duration { return &c.MTUExpires })},
	{"net.ipv4.tcp_abort_on_overflow", flag(func(c *Sysctl) *bool { return &c.TCP.AbortOnOverflow })},
	{"net.ipv4.tcp_challenge_ack_limit", number(func(c *Sysctl) *int { return &c.TCP.ChallengeAckLimit })},
	{"net.ipv4.tcp_comp_sack_delay_ns", span(1, func(c *Sysctl) *sim.Duration { return &c.TCP.CompSackDelay })},
	{"net.ipv4.tcp_comp_sack_nr", number(func(c *Sysctl) *int { return &c.TCP.CompSackCount })},
	{"net.ipv4.tcp_congestion_control", setCongestion},
	{"net.ipv4.tcp_dsack", flag(func(c *Sysctl) *bool { return &c.TCP.DSACK })},
	{"net.ipv4.tcp_early_retrans", number(func(c *Sysctl) *int { return &c.TCP.EarlyRetrans })},
	{"net.ipv4.tcp_ecn", number(func(c *Sysctl) *int { return &c.TCP.ECN })},
	{"net.ipv4.tcp_fin_timeout", span(time.Second, func(c *Sysctl) *sim.Duration { return &c.TCP.FinTimeout })},
	{"net.ipv4.tcp_frto", number(func(c *Sysctl) *int { return &c.TCP.FRTO })},
	{"net.ipv4.tcp_invalid_ratelimit", span(time.Millisecond, func(c *Sysctl) *sim.Duration { return &c.TCP.InvalidRateLimit })},
	{"net.ipv4.tcp_keepalive_intvl", span(time.Second, func(c *Sysctl) *sim.Duration { return &c.TCP.KeepaliveInterval })},
	{"net.ipv4.tcp_keepalive_probes", number(func(c *Sysctl) *int { return &c.TCP.KeepaliveProbes })},
	{"net.ipv4.tcp_keepalive_time", span(time.Second, func(c *Sysctl) *sim.Duration { return &c.TCP.KeepaliveTime })},
	{"net.ipv4.tcp_max_reordering", number(func(c *Sysctl) *int { return &c.TCP.MaxReordering })},
	{"net.ipv4.tcp_max_syn_backlog", number(func(c *Sysctl) *int { return &c.TCP.MaxSynBacklog })},
	{"net.ipv4.tcp_min_rtt_wlen", span(time.Second, func(c *Sysctl) *sim.Duration { return &c.TCP.MinRTTWindow })},
	{"net.ipv4.tcp_min_snd_mss", number(func(c *Sysctl) *int { return &c.TCP.MinSndMSS })},
	{"net.ipv4.tcp_moderate_rcvbuf", flag(func(c *Sysctl) *bool { return &c.TCP.ModerateRcvbuf })},
	{"net.ipv4.tcp_notsent_lowat", number(func(c *Sysctl) *int { return &c.TCP.NotsentLowat })},
	{"net.ipv4.tcp_orphan_retries", number(func(c *Sysctl) *int { return &c.TCP.OrphanRetries })},
	{"net.ipv4.tcp_recovery", number(func(c *Sysctl) *int { return &c.TCP.Recovery })},
	{"net.ipv4.tcp_reordering", number(func(c *Sysctl) *int { return &c.TCP.Reordering })},
	{"net.ipv4.tcp_retries2", number(func(c *Sysctl) *int { return &c.TCP.Retries2 })},
	{"net.ipv4.tcp_rfc1337", flag(func(c *Sysctl) *bool { return &c.TCP.RFC1337 })},
	{"net.ipv4.tcp_rmem", triple(func(c *Sysctl) *[3]int { return &c.TCP.Rmem })},
	{"net.ipv4.tcp_rto_max_ms", span(time.Millisecond, func(c *Sysctl) *sim.Duration { return &c.TCP.RTOMax })},
	{"net.ipv4.tcp_rto_min_us", span(time.Microsecond, func(c *Sysctl) *sim.Duration { return &c.TCP.RTOMin })},
	{"net.ipv4.tcp_sack", flag(func(c *Sysctl) *bool { return &c.TCP.SACK })},
	{"net.ipv4.tcp_slow_start_after_idle", flag(func(c *Sysctl) *bool { return &c.TCP.SlowStartAfterIdle })},
	{"net.ipv4.tcp_syn_linear_timeouts", number(func(c *Sysctl) *int { return &c.TCP.SynLinearTimeouts })},
	{"net.ipv4.tcp_syn_retries", number(func(c *Sysctl) *int { return &c.TCP.SynRetries })},
	{"net.ipv4.tcp_synack_retries", number(func(c *Sysctl) *int { return &c.TCP.SynAckRetries })},
	{"net.ipv4.tcp_syncookies", number(func(c *Sysctl) *int { return &c.TCP.SynCookies })},
	{"net.ipv4.tcp_timestamps", flag(func(c *Sysctl) *bool { return &c.TCP.Timestamps })},
	{"net.ipv4.tcp_tw_reuse", number(func(c *Sysctl) *int { return &c.TCP.TwReuse })},
	{"net.ipv4.tcp_window_scaling", flag(func(c *Sysctl) *bool { return &c.TCP.WindowScaling })},
	{"net.ipv4.tcp_wmem", triple(func(c *Sysctl) *[3]int { return &c.TCP.Wmem })},
	{"net.ipv6.conf.all.accept_ra", number(func(c *Sysctl) *int { return &c.IPv6.AcceptRA })},
	{"net.ipv6.conf.all.accept_redirects", flag(func(c *Sysctl) *bool { return &c.IPv6.AcceptRedirects })},
	{"net.ipv6.conf.all.autoconf", flag(func(c *Sysctl) *bool { return &c.IPv6.Autoconf })},
	{"net.ipv6.conf.all.dad_transmits", number(func(c *Sysctl) *int { return &c.IPv6.DADTransmits })},
	{"net.ipv6.conf.all.disable_ipv6", flag(func(c *Sysctl) *bool { return &c.IPv6.Disable })},
	{"net.ipv6.conf.all.forwarding", flag(func(c *Sysctl) *bool { return &c.IPv6.Forwarding })},
	{"net.ipv6.conf.all.hop_limit", number(func(c *Sysctl) *int { return &c.IPv6.HopLimit })},
	{"net.ipv6.conf.all.router_solicitation_delay", span(time.Second, func(c *Sysctl) *sim.Duration { return &c.IPv6.RouterSolicitationDelay })},
	{"net.ipv6.conf.all.router_solicitation_interval", span(time.Second, func(c *Sysctl) *sim.Duration { return &c.IPv6.RouterSolicitationInterval })},
	{"net.ipv6.conf.all.router_solicitations", number(func(c *Sysctl) *int { return &c.IPv6.RouterSolicitations })},
	{"net.ipv6.icmp.ratelimit", span(time.Millisecond, func(c *Sysctl) *sim.Duration { return &c.IPv6.ICMPRateLimit })},
	{"net.ipv6.ip6frag_high_thresh", number(func(c *Sysctl) *int { return &c.IPv6.FragHighThresh })},
	{"net.ipv6.ip6frag_time", span(time.Second, func(c *Sysctl) *sim.Duration { return &c.IPv6.FragTime })},
	{"net.ipv6.route.mtu_expires", span(time.Second, func(c *Sysctl) *sim.Duration { return &c.IPv6.MTUExpires })},
}

// SysctlNames are the names that SetSysctl takes, sorted.
func SysctlNames() []string {
	names := make([]string, len(sysctlTable))
	for i, s := range sysctlTable {
		names[i] = s.name
	}
	return names
}

// Set changes a setting by its Linux name: ENOENT where there is none of that
// name, else what is wrong with the value.
func (c *Sysctl) Set(name, value string) error {
	for _, s := range sysctlTable {
		if s.name == name {
			return s.set(c, value)
		}
	}
	return syscall.ENOENT
}

// SetSysctl changes a setting of this machine alone.
func (s *Stack) SetSysctl(name, value string) error {
	changed, transport := *s.sysctl, *s.sysctl.TCP
	changed.TCP = &transport
	if err := changed.Set(name, value); err != nil {
		return err
	}
	s.sysctl = &changed
	if l := s.tcpLayer(); l != nil {
		l.machine.Sysctl = changed.TCP
	}
	return nil
}

func flag(field func(*Sysctl) *bool) func(*Sysctl, string) error {
	return func(c *Sysctl, text string) error {
		if text != "0" && text != "1" {
			return fmt.Errorf("%q is neither 0 nor 1", text)
		}
		*field(c) = text == "1"
		return nil
	}
}

func number(field func(*Sysctl) *int) func(*Sysctl, string) error {
	return func(c *Sysctl, text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is not a whole number from 0", text)
		}
		*field(c) = n
		return nil
	}
}

// span reads a number of units.
func span(unit sim.Duration, field func(*Sysctl) *sim.Duration) func(*Sysctl, string) error {
	return func(c *Sysctl, text string) error {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is not a whole number from 0", text)
		}
		*field(c) = sim.Duration(n) * unit
		return nil
	}
}

// setPortRange reads "32768 60999".
func setPortRange(c *Sysctl, text string) error {
	var low, high int
	if _, err := fmt.Sscanf(text, "%d %d", &low, &high); err != nil || low < 1 || high > 65535 || low > high {
		return fmt.Errorf("%q is not two ports, the lower first", text)
	}
	c.LocalPortLow, c.LocalPortHigh = low, high
	return nil
}

// triple reads three numbers in ascending order, as tcp_rmem has.
func triple(field func(*Sysctl) *[3]int) func(*Sysctl, string) error {
	return func(c *Sysctl, text string) error {
		var v [3]int
		if _, err := fmt.Sscanf(text, "%d %d %d", &v[0], &v[1], &v[2]); err != nil || v[0] < 1 || v[0] > v[1] || v[1] > v[2] {
			return fmt.Errorf("%q is not three numbers of bytes, ascending", text)
		}
		*field(c) = v
		return nil
	}
}

// setCongestion chooses the congestion control of new connections.
func setCongestion(c *Sysctl, text string) error {
	if !slices.Contains(tcp.Algorithms, text) {
		return fmt.Errorf("%q is not one of %s", text, strings.Join(tcp.Algorithms, ", "))
	}
	c.TCP.Congestion = text
	return nil
}
