package stack

import (
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
)

// sysctl is a setting by its Linux name: how its text becomes a value.
type sysctl struct {
	name string
	set  func(c *Sysctl, text string) error
}

// sysctlTable is all settings, sorted by name.
var sysctlTable = []sysctl{
	{"net.core.rmem_default", number(func(c *Sysctl) *int { return &c.RmemDefault })},
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
	changed := *s.sysctl
	if err := changed.Set(name, value); err != nil {
		return err
	}
	s.sysctl = &changed
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
