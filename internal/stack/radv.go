package stack

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// RouterAdvertising is how a router advertises itself on an interface, in the
// terms of RFC 4861 6.2.1. The zero value of a field asks for that section's
// default.
type RouterAdvertising struct {
	MaxInterval sim.Duration // MaxRtrAdvInterval; 0: 600 s
	MinInterval sim.Duration // MinRtrAdvInterval; 0: a third of MaxInterval
	Lifetime    sim.Duration // AdvDefaultLifetime; 0: three times MaxInterval
	NotDefault  bool         // advertise prefixes and no default route
	HopLimit    uint8        // AdvCurHopLimit; 0: 64
	MTU         int          // AdvLinkMTU; 0: not told

	ValidLifetime     sim.Duration // AdvValidLifetime; 0: 30 days
	PreferredLifetime sim.Duration // AdvPreferredLifetime; 0: 7 days
	NotAutonomous     bool         // clears the A flag: no addresses by SLAAC
}

// Constants of RFC 4861 10 for routers.
const (
	initialAdvertInterval = 16 * time.Second       // MAX_INITIAL_RTR_ADVERT_INTERVAL
	initialAdverts        = 3                      // MAX_INITIAL_RTR_ADVERTISEMENTS
	advertDelay           = 500 * time.Millisecond // MAX_RA_DELAY_TIME
	advertGap             = 3 * time.Second        // MIN_DELAY_BETWEEN_RAS
)

func (c RouterAdvertising) withDefaults() RouterAdvertising {
	or := func(d *sim.Duration, value sim.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	or(&c.MaxInterval, 600*time.Second)
	or(&c.MinInterval, c.MaxInterval/3)
	or(&c.Lifetime, 3*c.MaxInterval)
	or(&c.ValidLifetime, 30*24*time.Hour)
	or(&c.PreferredLifetime, 7*24*time.Hour)
	if c.NotDefault {
		c.Lifetime = 0
	}
	if c.HopLimit == 0 {
		c.HopLimit = 64
	}
	return c
}

// advertiser is an advertising interface.
type advertiser struct {
	iface  *Interface
	config RouterAdvertising
	timer  sim.Timer
	sent   int
	last   sim.Time // of the last advertisement
}

// Advertise has the interface advertise this router, as radvd does; nil ends it,
// with a last advertisement that says so (RFC 4861 6.2.5).
func (i *Interface) Advertise(now sim.Time, config *RouterAdvertising) {
	s, v := i.stack, i.ipv6()
	if old := v.advertiser; old != nil {
		s.stopTimer(&old.timer)
		if config == nil && old.sent > 0 {
			old.config.Lifetime = 0
			old.send(now)
		}
		v.advertiser = nil
	}
	if config == nil {
		return
	}
	v.advertiser = &advertiser{iface: i, config: config.withDefaults()}
	v.advertiser.timer.Init(v.advertiser)
	s.startAdvertising(now, i)
}

// startAdvertising sends the first advertisement once there is an address to send
// it from.
func (s *Stack) startAdvertising(now sim.Time, i *Interface) {
	v := i.v6.advertiser
	if a := i.linkLocal(); v == nil || a == nil || !a.usable() {
		return
	}
	v.sent = 0
	v.Fire(now)
}

// Fire sends an unsolicited or a delayed solicited advertisement and sets the
// timer for the next (RFC 4861 6.2.4).
func (v *advertiser) Fire(now sim.Time) {
	v.send(now)
	s := v.iface.stack
	next := s.rand().Between(v.config.MinInterval, v.config.MaxInterval)
	if v.sent < initialAdverts {
		next = min(next, initialAdvertInterval)
	}
	s.setTimer(&v.timer, now.Add(next))
}

// send sends one advertisement to all nodes.
func (v *advertiser) send(now sim.Time) {
	i := v.iface
	s := i.stack
	a := i.linkLocal()
	if a == nil || !a.usable() || !s.sysctl.IPv6.Forwarding && v.config.Lifetime != 0 {
		return // RFC 4861 6.2.2: who does not forward is no router
	}
	v.sent++
	v.last = now
	h := wire.RouterAdvertisementHeader{Src: a.Addr(), Dst: allNodesIPv6, HopLimit: v.config.HopLimit, LifetimeSeconds: uint16(min(v.config.Lifetime/time.Second, 65535))}
	h.Options = v.prefixes()
	if v.config.MTU != 0 {
		h.Options = wire.AppendMTUOption(h.Options, v.config.MTU)
	}
	h.Options = wire.AppendLinkLayerOption(h.Options, wire.NDSourceLinkLayer, i.mac)
	f := s.newFrame(ndFrameSize + len(h.Options))
	f.SetBytes(wire.AppendRouterAdvertisement(f.Buffer(), h))
	s.sendND(now, i, f, ndEnvelope{src: h.Src, dst: h.Dst})
}

// prefixes are the options of the prefixes of the interface's own addresses.
func (v *advertiser) prefixes() []byte {
	var options []byte
	var done []netip.Prefix
	for _, a := range v.iface.addresses {
		prefix := a.Prefix.Masked()
		if !a.Addr().Is6() || a.Addr().IsLinkLocalUnicast() || a.Dynamic || !a.usable() || prefix.IsSingleIP() || slices.Contains(done, prefix) {
			continue
		}
		done = append(done, prefix)
		options = wire.AppendPrefixInformation(options, wire.PrefixInformation{
			Prefix: prefix, OnLink: true, Autonomous: !v.config.NotAutonomous && prefix.Bits() == 64,
			ValidSeconds: seconds(v.config.ValidLifetime), PreferredSeconds: seconds(v.config.PreferredLifetime),
		})
	}
	return options
}

// seconds is a lifetime as an option tells it.
func seconds(d sim.Duration) uint32 { return uint32(min(int64(d/time.Second), int64(wire.Infinity))) }

// receiveRouterSolicitation answers to all nodes, after a random time (RFC 4861
// 6.2.6).
func (s *Stack) receiveRouterSolicitation(now sim.Time, p *packet, m wire.RouterSolicitation) {
	i := p.in
	if !s.sysctl.IPv6.Forwarding {
		return
	}
	if mac, told := m.Options().LinkLayer(wire.NDSourceLinkLayer); told {
		if n := i.neighbor(now, p.src); n != nil {
			s.updateNeighbor(now, n, NeighborUpdate{MAC: mac, KnownMAC: true, State: NeighborStale, Override: true, WeakOverride: true, SetRouter: true})
		}
	}
	v := i.v6.advertiser
	if v == nil || v.sent == 0 {
		return // it is about to begin
	}
	at := max(now, v.last.Add(advertGap)).Add(s.rand().Between(0, advertDelay))
	if at < s.timerAt(&v.timer) {
		s.setTimer(&v.timer, at)
	}
}
