package stack

import (
	"net/netip"
	"slices"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
)

// AddressState is how far an address is usable.
type AddressState uint8

// The states of an address.
const (
	AddressReady      AddressState = iota
	AddressTentative               // being checked for a duplicate
	AddressDuplicate               // another machine has it
	AddressDeprecated              // not for new communication (RFC 4862 5.5.4)
)

// String names the state as iproute2 prints it; "" for a ready address.
func (a AddressState) String() string {
	switch a {
	case AddressTentative:
		return "tentative"
	case AddressDuplicate:
		return "dadfailed"
	case AddressDeprecated:
		return "deprecated"
	}
	return ""
}

// AddressConfig is an address to add to an interface.
type AddressConfig struct {
	Prefix         netip.Prefix // the address itself with its prefix length: 10.0.0.1/24
	Detect         bool         // IPv4: probe for a duplicate first (RFC 5227), which Linux does not. IPv6 always does.
	NoPrefixRoute  bool         // add no connected route
	ValidUntil     sim.Time     // IPv6; 0: for ever
	PreferredUntil sim.Time     // IPv6; 0: for ever
}

// Address is an address of an interface, of either family.
type Address struct {
	Interface *Interface
	Prefix    netip.Prefix // with the host part
	State     AddressState
	Secondary bool // IPv4: another address of the same subnet came first
	Dynamic   bool // from a router advertisement

	noPrefixRoute bool
	active        bool           // routes are in place
	detection     *conflict      // RFC 5227, if asked for
	v6            *addressTimers // IPv6: DAD and lifetimes; nil until needed
}

// Addr is the address itself.
func (a *Address) Addr() netip.Addr { return a.Prefix.Addr() }

// Lifetimes are until when the address is valid and preferred; sim.Never: for ever.
func (a *Address) Lifetimes() (valid, preferred sim.Time) {
	valid, preferred = sim.Never, sim.Never
	if a.v6 != nil && a.v6.validUntil != 0 {
		valid = a.v6.validUntil
	}
	if a.v6 != nil && a.v6.preferredUntil != 0 {
		preferred = a.v6.preferredUntil
	}
	return valid, preferred
}

// usable reports whether the machine may use and answer for the address.
func (a *Address) usable() bool {
	return a.Interface.up && (a.State == AddressReady || a.State == AddressDeprecated)
}

// AddAddress gives the interface an address. It fails with EEXIST where the
// interface has it.
func (i *Interface) AddAddress(now sim.Time, cfg AddressConfig) (*Address, error) {
	addr := cfg.Prefix.Addr()
	if !addr.IsValid() || addr.Is4In6() || cfg.Prefix.Bits() < 0 {
		return nil, syscall.EINVAL
	}
	if addr.Is6() && i.stack.sysctl.IPv6.Disable {
		return nil, syscall.EACCES // inet6_addr_add: disable_ipv6 is set
	}
	a := &Address{Interface: i, Prefix: cfg.Prefix, noPrefixRoute: cfg.NoPrefixRoute}
	for _, b := range i.addresses {
		if b.Addr() == addr {
			return nil, syscall.EEXIST
		}
		if addr.Is4() && b.Prefix.Masked() == a.Prefix.Masked() {
			a.Secondary = true
		}
	}
	if cfg.Detect && addr.Is4() {
		a.detection = &conflict{}
	}
	if cfg.ValidUntil != 0 || cfg.PreferredUntil != 0 {
		t := a.timers()
		t.validUntil, t.preferredUntil = cfg.ValidUntil, cfg.PreferredUntil
	}
	i.addresses = append(i.addresses, a)
	if i.up {
		i.stack.startAddress(now, a)
	}
	return a, nil
}

// RemoveAddress takes an address away. It fails with EADDRNOTAVAIL where the
// interface does not have it. As in Linux (promote_secondaries=0) the secondary
// addresses of its subnet go with a primary one.
func (i *Interface) RemoveAddress(now sim.Time, addr netip.Addr) error {
	k := slices.IndexFunc(i.addresses, func(a *Address) bool { return a.Addr() == addr })
	if k < 0 {
		return syscall.EADDRNOTAVAIL
	}
	gone := i.addresses[k]
	i.addresses = slices.DeleteFunc(i.addresses, func(a *Address) bool {
		with := a == gone || !gone.Secondary && a.Secondary && a.Prefix.Masked() == gone.Prefix.Masked()
		if with {
			i.stack.stopAddress(a)
		}
		return with
	})
	return nil
}

// startAddress puts an address to work: its interface is up.
func (s *Stack) startAddress(now sim.Time, a *Address) {
	if a.Addr().Is6() {
		s.activate(a)
		s.startAddressIPv6(now, a)
		return
	}
	if a.detection != nil {
		s.startDetection(now, a)
		return
	}
	s.activate(a)
	if s.sysctl.ARPNotify {
		a.Interface.Announce(now, a.Addr())
	}
}

// stopAddress is the reverse of startAddress.
func (s *Stack) stopAddress(a *Address) {
	if a.Addr().Is6() {
		s.stopAddressIPv6(a)
	}
	if a.detection != nil {
		s.stopDetection(a)
	}
	s.deactivate(a)
}

// activate makes the address local and adds its connected route.
func (s *Stack) activate(a *Address) {
	if a.active {
		return
	}
	a.active = true
	s.locals.add(a, a.Addr())
	if b, ok := broadcastOf(a.Prefix); ok {
		s.locals.add(a, b)
	}
	if !a.noPrefixRoute && !a.Interface.loopback && !a.Prefix.IsSingleIP() && !a.Secondary {
		s.addRoute(Route{Prefix: a.Prefix.Masked(), Interface: a.Interface, Source: sourceOf(a), Protocol: ProtocolKernel, Metric: connectedMetric(a)})
	}
}

// deactivate undoes activate.
func (s *Stack) deactivate(a *Address) {
	if !a.active {
		return
	}
	a.active = false
	s.locals.remove(a)
	s.routes[family(a.Addr())].removeFunc(func(r *Route) bool {
		return r.Protocol == ProtocolKernel && r.Interface == a.Interface && r.Prefix == a.Prefix.Masked() && !a.Secondary && !s.stillConnected(a)
	})
}

// stillConnected reports whether another IPv6 address keeps the connected route.
func (s *Stack) stillConnected(gone *Address) bool {
	return gone.Addr().Is6() && slices.ContainsFunc(gone.Interface.addresses, func(a *Address) bool {
		return a != gone && a.active && !a.noPrefixRoute && a.Prefix.Masked() == gone.Prefix.Masked()
	})
}

// sourceOf is the preferred source that Linux gives a connected route: IPv6
// routes have none.
func sourceOf(a *Address) netip.Addr {
	if a.Addr().Is4() {
		return a.Addr()
	}
	return netip.Addr{}
}

// connectedMetric is 0 for IPv4 and IP6_RT_PRIO_ADDRCONF for IPv6.
func connectedMetric(a *Address) uint32 {
	if a.Addr().Is4() {
		return 0
	}
	return 256
}

// broadcastOf is the directed broadcast address of an IPv4 subnet; /31 and /32
// have none (RFC 3021).
func broadcastOf(p netip.Prefix) (netip.Addr, bool) {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}, false
	}
	b := p.Addr().As4()
	for k := range b {
		host := min(max(8*(k+1)-p.Bits(), 0), 8)
		b[k] |= byte(1<<host - 1)
	}
	return netip.AddrFrom4(b), true
}

// local is an address that packets are delivered for on this machine: owner's, or
// the broadcast address of its subnet.
type local struct {
	owner     *Address
	key       uint32 // the address, if it is of IPv4
	broadcast bool
}

// addr is the address itself.
func (l *local) addr() netip.Addr {
	if l.broadcast {
		return netip.AddrFrom4([4]byte{byte(l.key >> 24), byte(l.key >> 16), byte(l.key >> 8), byte(l.key)})
	}
	return l.owner.Addr()
}

// localTable finds the machine's own addresses. A host has two or three, so it is
// a slice; beyond localsSmall it is searched by tables of places in it. Every
// packet that is forwarded is looked up twice.
type localTable struct {
	list []local
	find *localIndex // nil while list is short
}

type localIndex struct {
	v4 prefixTable[int32]
	v6 map[netip.Addr]int32
}

const localsSmall = 8

func (t *localTable) add(a *Address, addr netip.Addr) {
	l := local{owner: a, broadcast: addr != a.Addr()}
	if addr.Is4() {
		l.key = key4(addr)
	}
	t.list = append(t.list, l)
	if t.find != nil {
		t.find.add(addr, len(t.list)-1)
	} else {
		t.index()
	}
}

func (t *localTable) remove(a *Address) {
	t.list = slices.DeleteFunc(t.list, func(l local) bool { return l.owner == a })
	t.index()
}

func (t *localTable) index() {
	t.find = nil
	if len(t.list) <= localsSmall {
		return
	}
	t.find = &localIndex{}
	for k := range t.list {
		t.find.add(t.list[k].addr(), k)
	}
}

// add adds a place, unless another has that address: the first of equal ones stays.
func (x *localIndex) add(addr netip.Addr, place int) {
	switch {
	case x.lookup(addr) >= 0:
	case addr.Is4():
		x.v4.add(key4(addr), 32, int32(place))
	default:
		if x.v6 == nil {
			x.v6 = map[netip.Addr]int32{}
		}
		x.v6[addr] = int32(place)
	}
}

// lookup is the place of an address, or -1.
func (x *localIndex) lookup(a netip.Addr) int32 {
	if a.Is4() {
		if i := x.v4.find(key4(a), 32); i >= 0 {
			return x.v4.slots[i].value
		}
	} else if k, ok := x.v6[a]; ok {
		return k
	}
	return -1
}

func (t *localTable) lookup(a netip.Addr) *local {
	if t.find != nil {
		if k := t.find.lookup(a); k >= 0 {
			return &t.list[k]
		}
		return nil
	}
	if a.Is4() {
		key := key4(a)
		for k := range t.list {
			if l := &t.list[k]; l.key == key && (l.broadcast || l.owner.Addr().Is4()) {
				return l
			}
		}
		return nil
	}
	for k := range t.list {
		if t.list[k].owner.Addr() == a {
			return &t.list[k]
		}
	}
	return nil
}

// IsLocal reports whether packets to a are delivered on this machine: an own
// address, or one of lo's.
func (s *Stack) IsLocal(a netip.Addr) bool {
	if isLoopback(a) {
		return true
	}
	l := s.locals.lookup(a)
	return l != nil && !l.broadcast
}

// isLoopback: lo has 127.0.0.1/8 and ::1, without an entry in any table.
func isLoopback(a netip.Addr) bool { return a.IsLoopback() }
