package node

import (
	"context"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/link"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/wire"
)

// asker sends a datagram to an echo service each millisecond and counts what the
// runtime allocates between two of them, once all tables are warm.
type asker struct {
	host          *Host
	udp           *stack.UDP
	to            netip.AddrPort
	payload       [100]byte
	timer         sim.Timer
	sent, answers int
	first, last   runtime.MemStats
}

const (
	coldRequests = 1000
	allRequests  = 11_000
)

func (a *asker) Fire(now sim.Time) {
	switch a.sent {
	case coldRequests:
		runtime.ReadMemStats(&a.first)
	case allRequests:
		runtime.ReadMemStats(&a.last)
		return
	}
	a.sent++
	_ = a.udp.Send(now, a.payload[:], a.to)
	a.host.Settle(now)
	a.host.Origin().Set(&a.timer, now.Add(time.Millisecond))
}

func (a *asker) ready(sim.Time) {
	for d, ok := a.udp.Receive(); ok; d, ok = a.udp.Receive() {
		a.answers++
		d.Release()
	}
}

// A hop over a link and a router allocates nothing, and neither do the sockets at
// both ends: client - router - server, there and back.
func TestHopOverLinkAndRouterDoesNotAllocate(t *testing.T) {
	k, pool := sim.New(), &wire.Pool{}
	host := func(name string, forward bool) *Host {
		sysctl := stack.DefaultSysctl()
		sysctl.IPForward, sysctl.IPv6.Disable = forward, true
		o := k.NewOrigin(name)
		return NewHost(o, stack.New(stack.Config{Name: name, ID: o.ID(), Pool: pool, Sysctl: sysctl}), nil)
	}
	client, router, server := host("client", false), host("router", true), host("server", false)
	macs := byte(0)
	join := func(a, b *Host, addrA, addrB string) {
		settings := link.Settings{RateBitsPerSecond: 1e9, Delay: 10 * time.Microsecond}
		l := link.New(link.Config{Name: a.Name() + "-" + b.Name(), Ends: []link.EndConfig{
			{Origin: a.Origin(), Receiver: a, Port: len(a.ports), Settings: settings},
			{Origin: b.Origin(), Receiver: b, Port: len(b.ports), Settings: settings},
		}})
		for i, h := range []*Host{a, b} {
			macs++
			eth := h.Stack().AddInterface(stack.InterfaceConfig{Name: "to " + l.Name(), MAC: wire.MAC{2, 0, 0, 0, 0, macs}, Out: l.End(i)})
			if _, err := eth.AddAddress(0, stack.AddressConfig{Prefix: netip.MustParsePrefix([]string{addrA, addrB}[i])}); err != nil {
				t.Fatal(err)
			}
			eth.SetUp(0, true)
			h.AddPort(eth)
		}
	}
	join(client, router, "10.0.1.1/24", "10.0.1.254/24")
	join(server, router, "10.0.2.1/24", "10.0.2.254/24")
	for h, gateway := range map[*Host]string{client: "10.0.1.254", server: "10.0.2.254"} {
		if err := h.Stack().AddRoute(stack.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr(gateway)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := StartService(server, "echo", 0); err != nil {
		t.Fatal(err)
	}
	a := &asker{host: client, udp: client.Stack().NewUDP(false), to: netip.MustParseAddrPort("10.0.2.1:7")}
	a.udp.OnReady = a.ready
	a.timer.Init(a)
	client.Origin().Set(&a.timer, 0)
	if err := k.RunVirtual(context.Background(), sim.Time(20*time.Second), nil, nil); err != nil {
		t.Fatal(err)
	}
	if a.answers != allRequests {
		t.Errorf("%d answers to %d requests", a.answers, allRequests)
	}
	// The runtime itself allocates a little now and then.
	if n := a.last.Mallocs - a.first.Mallocs; n > 20 {
		t.Errorf("%d allocations in %d hops", n, 4*(allRequests-coldRequests))
	}
}
