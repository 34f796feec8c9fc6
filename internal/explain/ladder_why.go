package explain

import (
	"fmt"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// dupThresh is the duplicate ACKs that make a loss certain (RFC 5681 3.2).
const dupThresh = 3

// why says for what reason a segment is sent again, as far as its sender's view
// tells, which is what had arrived there.
func (e *end) why(r *rung, peer *end) string {
	text := e.cause(r, peer)
	if peer.received && !before(peer.rcvNxt, r.seq+r.room()) {
		text += "; a copy had arrived"
	}
	return text
}

func (e *end) cause(r *rung, peer *end) string {
	waited := r.at.Sub(e.lastAt)
	for _, f := range e.flight {
		if f.left == r.seq {
			waited = r.at.Sub(f.at)
		}
	}
	hole := e.sackedAbove(r.seq)
	switch {
	case r.flags.Has(wire.TCPSyn) && e.sawAgain:
		return "retransmission: the SYN came again"
	case r.flags.Has(wire.TCPSyn):
		return timeout(waited)
	case e.timed(r.at):
		// Without news a timer did it. A timeout sends what is oldest; a probe what is
		// last, once, before any sign of loss and where SACK can tell of it (RFC 8985 7.3).
		calm := !e.probed && !e.loss && !hole && e.dups == 0
		if r.seq+r.room() == e.next && e.sackOK && peer.sackOK && (calm || r.seq != e.una) {
			e.probed = true
			return fmt.Sprintf("retransmission: tail loss probe, %v after it was sent", round(waited))
		}
		e.loss, e.lossEnd = true, e.next
		return timeout(waited)
	case e.loss:
		return "retransmission: goes on after the timeout"
	case hole && e.dups >= dupThresh:
		return fmt.Sprintf("fast retransmit: %d duplicate ACKs, SACK shows the hole", e.dups)
	case hole:
		return "fast retransmit: SACK shows the hole"
	case e.dups >= dupThresh:
		return fmt.Sprintf("fast retransmit: %d duplicate ACKs", e.dups)
	}
	return "retransmission: goes on with recovery"
}

func timeout(waited sim.Duration) string {
	return fmt.Sprintf("retransmission: timeout (RTO), %v after it was sent", round(waited))
}

// timed reports whether nothing arrived lately that could have caused a sending:
// RACK waits up to a quarter of a round trip (RFC 8985 6.2), and a queue may hold a
// segment a little.
func (e *end) timed(now sim.Time) bool {
	const queued = 5 * time.Millisecond
	return !e.back || now.Sub(e.backAt) > e.rtt/4+queued
}

// sackedAbove reports whether bytes after seq are known to have arrived.
func (e *end) sackedAbove(seq uint32) bool {
	return e.hole && before(seq, e.sackTop)
}

// round takes from a time what nobody reads.
func round(d sim.Duration) sim.Duration {
	if d < 10*time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
