package stack

import (
	"net/netip"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Times of RFC 5227 1.1.
const (
	probeWait        = 1 * time.Second
	probeCount       = 3
	probeMin         = 1 * time.Second
	probeMax         = 2 * time.Second
	announceWait     = 2 * time.Second
	announceCount    = 2
	announceInterval = 2 * time.Second
	defendInterval   = 10 * time.Second
)

// conflict is the detection of an IPv4 address conflict (RFC 5227), which an
// address asks for with AddressConfig.Detect.
type conflict struct {
	address   *Address
	timer     sim.Timer
	probes    int
	announced int
	defended  bool
	defendAt  sim.Time
}

// startDetection probes for an address: it is tentative until nobody objected.
func (s *Stack) startDetection(now sim.Time, a *Address) {
	c := a.detection
	*c = conflict{address: a}
	c.timer.Init(c)
	a.State = AddressTentative
	s.setTimer(&c.timer, now.Add(s.rand().Between(0, probeWait)))
}

func (s *Stack) stopDetection(a *Address) { s.stopTimer(&a.detection.timer) }

// Fire sends the next probe or announcement.
func (c *conflict) Fire(now sim.Time) {
	a := c.address
	s := a.Interface.stack
	if c.probes < probeCount {
		c.probes++
		s.sendARP(now, a.Interface, wire.Broadcast, wire.ARPPacket{
			Op: wire.ARPRequest, SenderMAC: a.Interface.mac, SenderIP: netip.IPv4Unspecified(), TargetIP: a.Addr(),
		})
		wait := announceWait
		if c.probes < probeCount {
			wait = s.rand().Between(probeMin, probeMax)
		}
		s.setTimer(&c.timer, now.Add(wait))
		return
	}
	if c.announced == 0 {
		a.State = AddressReady
		s.activate(a)
	}
	c.announced++
	a.Interface.Announce(now, a.Addr())
	if c.announced < announceCount {
		s.setTimer(&c.timer, now.Add(announceInterval))
	}
}

// detectConflict looks for another machine with one of the interface's addresses.
// A tentative address is given up (RFC 5227 2.1.1); one in use is defended once
// in ten seconds and then given up (2.4, b).
func (s *Stack) detectConflict(now sim.Time, i *Interface, m wire.ARP) {
	for _, a := range i.addresses {
		if a.detection == nil || a.State == AddressDuplicate || m.SenderMAC() == i.mac {
			continue
		}
		claims := m.SenderIP() == a.Addr()
		probes := m.Op() == wire.ARPRequest && m.SenderIP().IsUnspecified() && m.TargetIP() == a.Addr()
		c := a.detection
		switch {
		case a.State == AddressTentative && (claims || probes),
			claims && c.defended && now.Sub(c.defendAt) < defendInterval:
			a.State = AddressDuplicate
			s.stopDetection(a)
			s.deactivate(a)
		case claims:
			c.defended, c.defendAt = true, now
			i.Announce(now, a.Addr())
		}
	}
}
