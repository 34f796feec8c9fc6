package stack

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// A routing table of any size finds what a search of the whole list finds, and
// so do the machine's own addresses, while entries come and go.
func TestTablesFindWhatTheListHolds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	eth := [2]*Interface{{index: 2}, {index: 3}}
	addr := func() netip.Addr {
		return netip.AddrFrom4([4]byte{10, 0, byte(random.IntN(4)), byte(random.IntN(256))})
	}
	var table routeTable
	var locals localTable
	var owners []*Address
	for step := range 20_000 {
		r := &Route{Prefix: netip.PrefixFrom(addr(), random.IntN(33)).Masked(), Metric: random.Uint32N(2), Interface: eth[random.IntN(2)]}
		if grow := step / 500 % 2; random.IntN(3) <= grow {
			_ = table.add(r)
		} else if len(table.list) > 0 {
			gone := table.list[random.IntN(len(table.list))]
			table.removeFunc(func(o *Route) bool { return o == gone })
		}
		for _, only := range []*Interface{nil, eth[0]} {
			to := addr()
			if got, want := table.lookup(to, only), searchRoutes(table.list, to, only); got != want {
				t.Fatalf("step %d: the route to %s is %v, want %v", step, to, got, want)
			}
		}
		if a := (&Address{Prefix: netip.PrefixFrom(addr(), 24)}); random.IntN(3) <= step/500%2 {
			locals.add(a, a.Addr())
			owners = append(owners, a)
		} else if len(owners) > 0 {
			k := random.IntN(len(owners))
			locals.remove(owners[k])
			owners = slices.Delete(owners, k, k+1)
		}
		to := addr()
		var got *Address
		if l := locals.lookup(to); l != nil {
			got = l.owner
		}
		k := slices.IndexFunc(owners, func(a *Address) bool { return a.Addr() == to })
		if k < 0 && got != nil || k >= 0 && got != owners[k] {
			t.Fatalf("step %d: %s is found at %v, want place %d of %v", step, to, got, k, owners)
		}
	}
}

// searchRoutes is look-up as its rule says it.
func searchRoutes(list []*Route, to netip.Addr, only *Interface) (best *Route) {
	for _, r := range list {
		if r.Prefix.Contains(to) && (only == nil || r.Interface == only) && (best == nil || compareRoutes(r, best) < 0) {
			best = r
		}
	}
	return best
}
