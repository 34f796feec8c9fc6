package stack

import (
	"net/netip"
	"slices"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// InterfaceConfig is what an interface is made of.
type InterfaceConfig struct {
	Name  string
	MAC   wire.MAC
	MTU   int // 0: 1500
	Out   Sender
	Place int // for the tap
}

// Interface is a network interface of a machine.
type Interface struct {
	// What every packet needs comes first, in two cache lines.
	stack        *Stack
	out          Sender
	mtu          int32
	index        int32
	mac          wire.MAC
	up           bool
	noCarrier    bool
	loopback     bool
	place        int32
	lastNeighbor *Neighbor // the one sent to last: saves the search

	receivedPackets, receivedBytes, sentPackets, sentBytes uint64

	name      string
	addresses []*Address
	neighbors map[netip.Addr]*Neighbor
	v6        *interfaceIPv6   // nil until IPv6 is used
	seldom    *interfaceSeldom // nil until needed
}

// interfaceSeldom is what few interfaces have.
type interfaceSeldom struct {
	groups []group // multicast groups joined, with how often

	receivedErrors, receivedDrops, receivedMulticast, sentDrops uint64
}

// rare is the interface's seldom, made when first needed.
func (i *Interface) rare() *interfaceSeldom {
	if i.seldom == nil {
		i.seldom = &interfaceSeldom{}
	}
	return i.seldom
}

type group struct {
	addr  netip.Addr
	times int
}

// defaultMTU is Ethernet's.
const defaultMTU = 1500

// AddInterface adds an interface, which is down until SetUp.
func (s *Stack) AddInterface(cfg InterfaceConfig) *Interface {
	mtu := cfg.MTU
	if mtu == 0 {
		mtu = defaultMTU
	}
	i := &Interface{stack: s, name: cfg.Name, mac: cfg.MAC, mtu: int32(mtu), out: cfg.Out, place: int32(cfg.Place), index: loopbackIndex + 1}
	if n := len(s.interfaces); n > 0 {
		i.index = s.interfaces[n-1].index + 1
	}
	s.interfaces = append(s.interfaces, i)
	return i
}

const loopbackIndex = 1

// loopback is lo, made when first asked for: most machines never are.
func (s *Stack) loopback() *Interface {
	if len(s.interfaces) == 0 || !s.interfaces[0].loopback {
		lo := &Interface{stack: s, name: "lo", mtu: 65536, index: loopbackIndex, loopback: true, up: true, place: s.place}
		s.interfaces = slices.Insert(s.interfaces, 0, lo)
	}
	return s.interfaces[0]
}

// Name is the interface's name.
func (i *Interface) Name() string { return i.name }

// Index is the interface's number, from 1, which is lo's.
func (i *Interface) Index() int { return int(i.index) }

// MAC is the interface's hardware address.
func (i *Interface) MAC() wire.MAC { return i.mac }

// MTU is the largest IP packet that the interface sends.
func (i *Interface) MTU() int { return int(i.mtu) }

// SetMTU changes the largest IP packet.
func (i *Interface) SetMTU(mtu int) { i.mtu = int32(mtu) }

// Up reports whether the interface is switched on.
func (i *Interface) Up() bool { return i.up }

// Running reports whether the interface is up and its link too.
func (i *Interface) Running() bool { return i.up && !i.noCarrier }

// Loopback reports whether the interface is lo.
func (i *Interface) Loopback() bool { return i.loopback }

// Addresses are the interface's addresses, in the order they were added.
func (i *Interface) Addresses() []*Address { return i.addresses }

// Interfaces are all interfaces by index, lo first.
func (s *Stack) Interfaces() []*Interface {
	s.loopback()
	return s.interfaces
}

// Interface is the interface of that name, or nil.
func (s *Stack) Interface(name string) *Interface {
	if name == "lo" {
		return s.loopback()
	}
	for _, i := range s.interfaces {
		if i.name == name {
			return i
		}
	}
	return nil
}

// SetUp switches the interface on or off, as ip link set does: with it come and
// go its connected routes; routes through it are lost when it goes off.
func (i *Interface) SetUp(now sim.Time, up bool) {
	if i.up == up {
		return
	}
	i.up = up
	s := i.stack
	if up {
		for _, a := range i.addresses {
			s.startAddress(now, a)
		}
		s.interfaceUpIPv6(now, i)
		return
	}
	s.interfaceDownIPv6(now, i)
	for _, a := range i.addresses {
		s.stopAddress(a)
	}
	s.flushNeighbors(now, i)
	s.removeRoutesOf(i)
}

// SetCarrier says whether the link at the interface is up. Linux keeps routes
// over a link without carrier (ignore_routes_with_linkdown=0) but forgets
// neighbours (arp_evict_nocarrier=1).
func (i *Interface) SetCarrier(now sim.Time, up bool) {
	if i.noCarrier == !up {
		return
	}
	i.noCarrier = !up
	if !up {
		i.stack.flushNeighbors(now, i)
		return
	}
	if i.up {
		i.stack.announceAll(now, i)
		i.stack.carrierIPv6(now, i)
	}
}

// groups are the multicast groups that the interface has joined.
func (i *Interface) groups() []group {
	if i.seldom == nil {
		return nil
	}
	return i.seldom.groups
}

// JoinGroup joins a multicast group. Nothing tells routers so: IGMP and MLD are
// not spoken, which on one segment makes no difference.
func (i *Interface) JoinGroup(addr netip.Addr) {
	r := i.rare()
	if k := i.groupIndex(addr); k >= 0 {
		r.groups[k].times++
		return
	}
	r.groups = append(r.groups, group{addr, 1})
}

// LeaveGroup undoes one JoinGroup.
func (i *Interface) LeaveGroup(addr netip.Addr) {
	k := i.groupIndex(addr)
	if k < 0 {
		return
	}
	r := i.rare()
	if r.groups[k].times--; r.groups[k].times == 0 {
		r.groups = slices.Delete(r.groups, k, k+1)
	}
}

// groupIndex is the place of a group among those joined, or -1.
func (i *Interface) groupIndex(addr netip.Addr) int {
	return slices.IndexFunc(i.groups(), func(g group) bool { return g.addr == addr })
}

// inGroup reports whether the interface has joined a group. Every machine is in
// the groups of all hosts, 224.0.0.1 and ff02::1, and routers in ff02::2.
func (i *Interface) inGroup(addr netip.Addr) bool {
	if addr == allHostsIPv4 || addr == allNodesIPv6 || addr == allNodesInterface {
		return true
	}
	if addr == allRoutersIPv6 && i.stack.sysctl.IPv6.Forwarding {
		return true
	}
	return i.groupIndex(addr) >= 0
}

var (
	allHostsIPv4      = netip.AddrFrom4([4]byte{224, 0, 0, 1})
	allNodesIPv6      = netip.MustParseAddr("ff02::1")
	allNodesInterface = netip.MustParseAddr("ff01::1")
)
