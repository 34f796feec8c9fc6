package tcp

import (
	"net/netip"
	"slices"

	"github.com/hopyard/hopyard/internal/sim"
)

// Request is what a listener knows of a connection in SYN-RECEIVED.
type Request struct {
	Local, Remote netip.AddrPort
	TimerLeft     sim.Duration // until the SYN-ACK is sent again
	Retries       int
}

// Requests are the handshakes under way, by their ends.
func (l *Listener) Requests(now sim.Time) []Request {
	all := make([]Request, 0, len(l.requests))
	for f, r := range l.requests { // any order: sorted below
		all = append(all, Request{f.local, f.remote, l.timers.At(&r.timer).Sub(now), int(r.retries)})
	}
	slices.SortFunc(all, func(a, b Request) int {
		if n := a.Local.Compare(b.Local); n != 0 {
			return n
		}
		return a.Remote.Compare(b.Remote)
	})
	return all
}
