package stack

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// NeighborState is what is known of a neighbour's hardware address (RFC 4861
// 7.3.2), for ARP as for ND, as in Linux's net/core/neighbour.c.
type NeighborState uint8

// The states of a neighbour.
const (
	NeighborNone       NeighborState = iota
	NeighborIncomplete               // asked for
	NeighborReachable                // confirmed a short time ago
	NeighborStale                    // known, not confirmed
	NeighborDelay                    // known and used; an upper layer may confirm it
	NeighborProbe                    // asked again, by unicast
	NeighborFailed                   // did not answer
	NeighborPermanent                // set by hand
	NeighborNoARP                    // needs no resolution
)

var neighborStateNames = [...]string{"NONE", "INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE", "FAILED", "PERMANENT", "NOARP"}

// String names the state as iproute2 prints it.
func (n NeighborState) String() string { return neighborStateNames[n] }

// valid reports whether the hardware address may be used (NUD_VALID).
func (n NeighborState) valid() bool {
	switch n {
	case NeighborNone, NeighborIncomplete, NeighborFailed:
		return false
	}
	return true
}

// connected reports whether it may be used without a second thought
// (NUD_CONNECTED).
func (n NeighborState) connected() bool {
	return n == NeighborReachable || n == NeighborPermanent || n == NeighborNoARP
}

// Neighbor is an entry of the neighbour table: the ARP table for IPv4, the
// neighbour cache for IPv6.
type Neighbor struct {
	Addr      netip.Addr
	Interface *Interface
	MAC       wire.MAC
	State     NeighborState
	Router    bool // IPv6: it says that it is one
	Probes    int

	// Used is when a packet was last sent to it, Confirmed when it was last known
	// to answer, Updated when its state or hardware address last changed.
	Used, Confirmed, Updated sim.Time

	timer        sim.Timer
	waiting      []*wire.Frame // IP packets, without Ethernet header
	waitingBytes int32
	gone         bool
}

// neighborTable is all of a machine's neighbours.
type neighborTable struct {
	all       []*Neighbor // in the order of their birth
	reachable [2]sim.Duration
	drawnAt   [2]sim.Time
	flushed   sim.Time
	gc        sim.Timer
}

// NeighborUpdate says what was learned of a neighbour; the flags are Linux's
// NEIGH_UPDATE_F_*.
type NeighborUpdate struct {
	MAC          wire.MAC
	KnownMAC     bool // MAC was told
	State        NeighborState
	Override     bool // a MAC that differs replaces what is known
	WeakOverride bool // a MAC that differs makes a connected entry STALE, and is not taken
	Admin        bool // by hand
	Router       bool
	SetRouter    bool // Router was told
}

// Neighbors are the entries of both families by interface and address.
func (s *Stack) Neighbors() []*Neighbor {
	if s.neighbors == nil {
		return nil
	}
	list := slices.Clone(s.neighbors.all)
	slices.SortFunc(list, func(a, b *Neighbor) int {
		return cmp.Or(cmp.Compare(a.Interface.index, b.Interface.index), a.Addr.Compare(b.Addr))
	})
	return list
}

// LookupNeighbor finds an entry, or nil.
func (i *Interface) LookupNeighbor(a netip.Addr) *Neighbor {
	if n := i.lastNeighbor; n != nil && n.Addr == a {
		return n
	}
	return i.neighbors[a]
}

// SetNeighbor adds or changes an entry by hand, as ip neigh replace does.
func (i *Interface) SetNeighbor(now sim.Time, a netip.Addr, mac wire.MAC, state NeighborState) {
	if n := i.neighbor(now, a); n != nil {
		i.stack.updateNeighbor(now, n, NeighborUpdate{MAC: mac, KnownMAC: true, State: state, Override: true, Admin: true})
	}
}

// RemoveNeighbor forgets an entry, as ip neigh del does; it reports whether there
// was one.
func (i *Interface) RemoveNeighbor(now sim.Time, a netip.Addr) bool {
	n := i.neighbors[a]
	if n != nil {
		i.stack.forget(now, n)
	}
	return n != nil
}

// ConfirmNeighbor is the hint of an upper layer that packets sent to a next hop
// arrive (RFC 4861 7.3.1).
func (s *Stack) ConfirmNeighbor(now sim.Time, i *Interface, nextHop netip.Addr) {
	if n := i.LookupNeighbor(nextHop); n != nil && n.State.valid() {
		n.Confirmed = now
	}
}

// neighbor finds an entry or makes one, in state NONE; nil if the table is full.
func (i *Interface) neighbor(now sim.Time, a netip.Addr) *Neighbor {
	if n := i.LookupNeighbor(a); n != nil {
		return n
	}
	s := i.stack
	if s.neighbors == nil {
		s.neighbors = &neighborTable{flushed: now}
		s.neighbors.gc.Init((*neighborCollector)(s))
	}
	if !s.roomForNeighbor(now) {
		return nil
	}
	// ___neigh_create: a new entry was confirmed long ago, so that it is not taken
	// for reachable before it answered.
	n := &Neighbor{Addr: a, Interface: i, Used: now, Confirmed: now.Add(-2 * s.sysctl.NeighBaseReachable), Updated: now}
	n.timer.Init(n)
	if i.neighbors == nil {
		i.neighbors = map[netip.Addr]*Neighbor{}
	}
	i.neighbors[a] = n
	s.neighbors.all = append(s.neighbors.all, n)
	if len(s.neighbors.all) == s.sysctl.NeighGCThresh1 {
		s.setTimer(&s.neighbors.gc, now.Add(s.sysctl.NeighBaseReachable/2))
	}
	return n
}

// transmit sends the IP packet in f, which begins at its IP header, to a next hop
// on i. Multicast and broadcast addresses need no neighbour.
func (s *Stack) transmit(now sim.Time, i *Interface, nextHop netip.Addr, f *wire.Frame) {
	n := i.lastNeighbor
	if n == nil || n.Addr != nextHop {
		if n = i.neighbor(now, nextHop); n == nil {
			s.dropPacket(now, i, f, wire.DropNeighborQueueFull) // "neighbour: arp_cache: neighbor table overflow!"
			return
		}
		i.lastNeighbor = n
	}
	n.Used = now
	if n.State != NeighborReachable && !s.useNeighbor(now, n, f) {
		return
	}
	s.transmitTo(now, i, n.MAC, f)
}

// transmitTo puts the Ethernet header in front and sends the frame.
func (s *Stack) transmitTo(now sim.Time, i *Interface, dst wire.MAC, f *wire.Frame) {
	i.pushEthernet(dst, f)
	i.sendFrame(now, f)
}

// dropPacket drops the IP packet in f, which has no Ethernet header yet, as the
// frame to nobody that it would have become: taps are shown whole frames.
func (s *Stack) dropPacket(now sim.Time, i *Interface, f *wire.Frame, why wire.Drop) {
	i.pushEthernet(wire.MAC{}, f)
	s.drop(now, i, f, why)
}

// pushEthernet puts the Ethernet header in front of the IP packet in f.
func (i *Interface) pushEthernet(dst wire.MAC, f *wire.Frame) {
	t := wire.TypeIPv4
	if f.Bytes()[0]>>4 == 6 {
		t = wire.TypeIPv6
	}
	b := f.Push(wire.EthernetLen)
	copy(b[0:6], dst[:])
	copy(b[6:12], i.mac[:])
	b[12], b[13] = byte(t>>8), byte(t&0xff)
}

// useNeighbor is neigh_event_send: it reports whether n may be sent to now, and
// keeps or drops the packet if not.
func (s *Stack) useNeighbor(now sim.Time, n *Neighbor, f *wire.Frame) bool {
	switch n.State {
	case NeighborStale:
		n.State, n.Updated = NeighborDelay, now
		s.setTimer(&n.timer, now.Add(s.sysctl.NeighDelayFirstProbe))
		return true
	case NeighborNone, NeighborFailed:
		n.State, n.Updated, n.Probes = NeighborIncomplete, now, 0
		s.wait(now, n, f)
		s.setTimer(&n.timer, now.Add(n.retrans()))
		s.probe(now, n)
		return false
	case NeighborIncomplete:
		s.wait(now, n, f)
		return false
	}
	return true
}

// unresolvedPackets is how many packets wait for one neighbour at most: the
// default unres_qlen of Linux, in full frames.
const unresolvedPackets = 101

// wait lets a packet wait for n; the oldest ones make room (unres_qlen_bytes).
func (s *Stack) wait(now sim.Time, n *Neighbor, f *wire.Frame) {
	size := truesize(f)
	for len(n.waiting) > 0 && (int(n.waitingBytes)+size > s.sysctl.NeighUnresolvedBytes || len(n.waiting) >= unresolvedPackets) {
		oldest := n.waiting[0]
		n.waiting = slices.Delete(n.waiting, 0, 1)
		n.waitingBytes -= int32(truesize(oldest))
		s.dropPacket(now, n.Interface, oldest, wire.DropNeighborQueueFull)
	}
	n.waiting = append(n.waiting, f)
	n.waitingBytes += int32(size)
}

// retrans is the time between two questions for n: retrans_time_ms, or what a
// router advertised.
func (n *Neighbor) retrans() sim.Duration {
	if n.Addr.Is6() {
		return n.Interface.retransIPv6()
	}
	return n.Interface.stack.sysctl.NeighRetrans
}

// probe asks for n once.
func (s *Stack) probe(now sim.Time, n *Neighbor) {
	n.Probes++
	if n.Addr.Is4() {
		s.solicitARP(now, n)
		return
	}
	s.solicitND(now, n)
}

// Fire is neigh_timer_handler.
func (n *Neighbor) Fire(now sim.Time) {
	s := n.Interface.stack
	c := s.sysctl
	switch n.State {
	case NeighborReachable:
		if end := n.Confirmed.Add(s.reachableTime(now, n)); now < end {
			s.setTimer(&n.timer, end)
			return
		}
		if now <= n.Used.Add(c.NeighDelayFirstProbe) {
			n.State, n.Updated = NeighborDelay, now
			s.setTimer(&n.timer, now.Add(c.NeighDelayFirstProbe))
			return
		}
		n.State, n.Updated = NeighborStale, now
		return
	case NeighborDelay:
		if now <= n.Confirmed.Add(c.NeighDelayFirstProbe) {
			n.State, n.Updated = NeighborReachable, now
			s.setTimer(&n.timer, n.Confirmed.Add(s.reachableTime(now, n)))
			return
		}
		n.State, n.Updated, n.Probes = NeighborProbe, now, 0
	case NeighborIncomplete, NeighborProbe:
	default:
		return
	}
	limit := c.NeighMcastSolicit
	if n.State == NeighborProbe {
		limit = c.NeighUcastSolicit
	}
	if n.Probes >= limit {
		n.State, n.Updated = NeighborFailed, now
		s.failWaiting(now, n)
		return
	}
	s.setTimer(&n.timer, now.Add(n.retrans()))
	s.probe(now, n)
}

// failWaiting is neigh_invalidate: packets that waited cause an ICMP error to
// their source (arp_error_report, ndisc_error_report) and are dropped.
func (s *Stack) failWaiting(now sim.Time, n *Neighbor) {
	waiting := n.waiting
	n.waiting, n.waitingBytes = nil, 0
	for _, f := range waiting {
		if p, ok := s.packetOf(n.Interface, f); ok {
			s.icmpError(now, &p, problemHostUnreachable, 0)
		}
		s.dropPacket(now, n.Interface, f, wire.DropNeighborFailed)
	}
}

// updateNeighbor is neigh_update: what an answer, a request or a hand says of n.
func (s *Stack) updateNeighbor(now sim.Time, n *Neighbor, u NeighborUpdate) {
	old := n.State
	if !u.Admin && (old == NeighborPermanent || old == NeighborNoARP) {
		return
	}
	if !u.State.valid() {
		s.invalidate(now, n, u.State)
		return
	}
	mac, state := n.MAC, u.State
	if u.KnownMAC {
		mac = u.MAC
	} else if !old.valid() {
		return // nothing is known, and nothing was told
	}
	if u.SetRouter {
		n.Router = u.Router
	}
	if old.valid() && mac != n.MAC && !u.Override {
		if !u.WeakOverride || !old.connected() {
			return
		}
		mac, state = n.MAC, NeighborStale
	} else if old.valid() && mac == n.MAC && state == NeighborStale && !u.Admin {
		state = old // nothing new: stays as confirmed as it was
	}
	if state.connected() {
		n.Confirmed = now
	}
	if state != old || mac != n.MAC {
		n.Updated = now
	}
	if state != old || state == NeighborReachable {
		s.enter(now, n, state)
	}
	n.MAC = mac
	if !old.valid() {
		s.flushWaiting(now, n)
	}
}

// enter sets the state and the timer that goes with it.
func (s *Stack) enter(now sim.Time, n *Neighbor, state NeighborState) {
	n.State = state
	switch state {
	case NeighborReachable:
		s.setTimer(&n.timer, now.Add(s.reachableTime(now, n)))
	case NeighborDelay:
		s.setTimer(&n.timer, now.Add(s.sysctl.NeighDelayFirstProbe))
	case NeighborProbe:
		n.Probes = 0
		s.setTimer(&n.timer, now)
	default:
		s.stopTimer(&n.timer)
	}
}

// invalidate makes an entry FAILED or NONE.
func (s *Stack) invalidate(now sim.Time, n *Neighbor, state NeighborState) {
	n.State, n.Updated = state, now
	s.stopTimer(&n.timer)
	s.failWaiting(now, n)
}

// flushWaiting sends what waited for the hardware address.
func (s *Stack) flushWaiting(now sim.Time, n *Neighbor) {
	waiting := n.waiting
	n.waiting, n.waitingBytes = nil, 0
	for _, f := range waiting {
		s.transmit(now, n.Interface, n.Addr, f)
	}
}

// reachableDraw is how long a random reachable time is kept (neigh_periodic_work).
const reachableDraw = 300 * 1e9

// reachableTime is base_reachable_time times a random factor from 0.5 to 1.5
// (RFC 4861 6.3.4), drawn anew every 300 s.
func (s *Stack) reachableTime(now sim.Time, n *Neighbor) sim.Duration {
	if v := n.Interface.v6; v != nil && v.reachable != 0 && n.Addr.Is6() {
		return v.reachable // as a router advertised
	}
	t, k := s.neighbors, family(n.Addr)
	if t.reachable[k] == 0 || now.Sub(t.drawnAt[k]) > reachableDraw {
		base := s.sysctl.NeighBaseReachable
		t.reachable[k], t.drawnAt[k] = s.rand().Between(base/2, base+base/2), now
	}
	return t.reachable[k]
}

// flushNeighbors forgets the neighbours at i; those set by hand as well.
func (s *Stack) flushNeighbors(now sim.Time, i *Interface) {
	if s.neighbors == nil {
		return
	}
	for _, n := range slices.Clone(s.neighbors.all) {
		if n.Interface == i {
			s.forget(now, n)
		}
	}
}

// forget takes an entry out of the table; packets that wait for it are dropped.
func (s *Stack) forget(now sim.Time, n *Neighbor) {
	s.stopTimer(&n.timer)
	delete(n.Interface.neighbors, n.Addr)
	if n.Interface.lastNeighbor == n {
		n.Interface.lastNeighbor = nil
	}
	t := s.neighbors
	if k := slices.Index(t.all, n); k >= 0 {
		t.all = slices.Delete(t.all, k, k+1)
	}
	n.State, n.gone = NeighborFailed, true
	for _, f := range n.waiting {
		s.dropPacket(now, n.Interface, f, wire.DropNeighborFailed)
	}
	n.waiting = nil
}

// forcedAge is how long neigh_forced_gc leaves an entry alone.
const forcedAge = 5 * 1e9

// roomForNeighbor is neigh_alloc's share of garbage collection: between
// gc_thresh2 and gc_thresh3 old entries go, beyond it new ones are refused.
func (s *Stack) roomForNeighbor(now sim.Time) bool {
	t, c := s.neighbors, s.sysctl
	if len(t.all) < c.NeighGCThresh2 || len(t.all) < c.NeighGCThresh3 && now.Sub(t.flushed) <= forcedAge {
		return true
	}
	t.flushed = now
	s.collect(now, func(n *Neighbor) bool {
		return n.State == NeighborFailed || n.State != NeighborIncomplete && now.Sub(n.Updated) > forcedAge
	})
	return len(t.all) < c.NeighGCThresh3
}

// collect forgets entries that may go; those set by hand stay.
func (s *Stack) collect(now sim.Time, old func(*Neighbor) bool) {
	for _, n := range slices.Clone(s.neighbors.all) {
		if n.State != NeighborPermanent && old(n) {
			s.forget(now, n)
		}
	}
}

type neighborCollector Stack

// Fire is neigh_periodic_work: while there are gc_thresh1 entries or more, those
// that failed or were not used for gc_stale_time are forgotten.
func (c *neighborCollector) Fire(now sim.Time) {
	s := (*Stack)(c)
	s.collect(now, func(n *Neighbor) bool {
		unused := now.Sub(max(n.Used, n.Confirmed)) > s.sysctl.NeighGCStale
		return n.State == NeighborFailed || n.State == NeighborStale && unused
	})
	if len(s.neighbors.all) >= s.sysctl.NeighGCThresh1 {
		s.setTimer(&s.neighbors.gc, now.Add(s.sysctl.NeighBaseReachable/2))
	}
}
