package subnet

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"
)

// Pool hands out prefixes of one larger prefix in order, none of them twice and
// none that overlaps what was taken before.
type Pool struct {
	prefix netip.Prefix
	next   number // where the next is looked for
	full   bool
	taken  []span // sorted, apart
}

type span struct{ first, last number }

// NewPool makes a pool of a prefix, without what is taken; prefixes of the
// other family are ignored.
func NewPool(prefix netip.Prefix, taken []netip.Prefix) *Pool {
	p := &Pool{prefix: prefix.Masked(), next: numberOf(prefix.Masked().Addr())}
	var spans []span
	for _, t := range taken {
		if t.IsValid() && t.Addr().Is4() == prefix.Addr().Is4() {
			spans = append(spans, span{numberOf(t.Masked().Addr()), numberOf(Last(t))})
		}
	}
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.first.high, b.first.high), cmp.Compare(a.first.low, b.first.low))
	})
	for _, s := range spans {
		if n := len(p.taken); n > 0 && !p.taken[n-1].last.less(s.first) {
			if p.taken[n-1].last.less(s.last) {
				p.taken[n-1].last = s.last
			}
			continue
		}
		p.taken = append(p.taken, s)
	}
	return p
}

// Next is the next free prefix of a length; ok is false when none is left.
func (p *Pool) Next(length int) (prefix netip.Prefix, ok bool) {
	a := p.prefix.Addr()
	if length < p.prefix.Bits() || length > a.BitLen() {
		return netip.Prefix{}, false
	}
	size := lowBits(a.BitLen() - length) // less one
	for !p.full {
		start := p.next.andNot(size)
		if start.less(p.next) { // not aligned: the one after
			if p.after(start.or(size)); p.full {
				break
			}
			start = p.next
		}
		last := start.or(size)
		i := sort.Search(len(p.taken), func(i int) bool { return !p.taken[i].last.less(start) })
		if i < len(p.taken) && !last.less(p.taken[i].first) {
			p.after(p.taken[i].last)
			continue
		}
		p.after(last)
		return netip.PrefixFrom(start.addr(a.Is4()), length), true
	}
	return netip.Prefix{}, false
}

// after moves on to what follows an address.
func (p *Pool) after(last number) {
	next, wrapped := last.add(number{0, 1})
	p.next, p.full = next, wrapped || !p.prefix.Contains(next.addr(p.prefix.Addr().Is4())) || numberOf(Last(p.prefix)).less(next)
}
