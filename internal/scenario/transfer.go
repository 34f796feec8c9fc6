package scenario

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/hopyard/hopyard/internal/node"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/tcp"
)

// transfer is one node's part of a load of kind tcp: a connection that carries
// zeros, made and closed in the kernel with no goroutine.
type transfer struct {
	player *player
	item   *item
	host   *node.Host
	timer  sim.Timer

	tcp     *stack.TCP
	size    int64 // 0: until end
	end     sim.Time
	started sim.Time
	ended   sim.Time
	written int64
	closing bool
	done    bool
	err     error
	info    tcp.Info // when it ended
	cwndMax int
	samples *sampler // nil where nobody asked
}

// chunk is how much a transfer writes at a time.
const chunk = 64 << 10

// startTransfers makes a connection from each node of an item.
func (p *player) startTransfers(it *item, r *loadResult) {
	r.sources = len(it.nodes)
	for _, n := range it.nodes {
		t := &transfer{player: p, item: it, host: p.network.Nodes[n].Host, size: int64(it.load.total), end: sim.Never}
		t.timer.Init(t)
		if it.load.duration > 0 {
			t.end = sim.Time(it.At).Add(it.load.duration)
		}
		p.open++
		r.transfers = append(r.transfers, t)
		p.origin.Set(&t.timer, sim.Time(it.At))
	}
}

// Fire opens the connection or, when the time is up, closes it.
func (t *transfer) Fire(now sim.Time) {
	if t.tcp == nil {
		t.started = now
		if err := t.open(now); err != nil {
			t.finish(now, err)
			return
		}
		if t.player.sampling {
			t.sample(now)
		}
		if t.end != sim.Never {
			t.player.origin.Set(&t.timer, t.end)
		}
	} else if !t.done {
		t.close(now)
	}
	t.host.Settle(now)
}

func (t *transfer) open(now sim.Time) error {
	a, err := t.player.resolve(t.item.load.name)
	if err != nil {
		return err
	}
	t.tcp = t.host.Stack().NewTCP(a.Is6())
	t.tcp.OnReady = t.ready
	return t.tcp.Connect(now, netip.AddrPortFrom(a, t.item.load.port))
}

// ready writes what there is room for, and closes when all is written and the
// peer has closed too.
func (t *transfer) ready(now sim.Time) {
	if t.done {
		return
	}
	c := t.tcp.Conn()
	if err := c.TakeError(); err != nil {
		t.finish(now, err)
		return
	}
	t.cwndMax = max(t.cwndMax, c.Info(now).Cwnd)
	t.tcp.Discard(now, 1<<30) // an echo, say
	for !t.closing && t.tcp.Writable() {
		n := int64(chunk)
		if t.size > 0 {
			n = min(n, t.size-t.written)
		}
		k, err := t.tcp.WriteZeros(now, int(n))
		if err != nil {
			t.finish(now, err)
			return
		}
		t.written += int64(k)
		if t.size > 0 && t.written == t.size {
			t.close(now)
		}
		if k == 0 {
			break
		}
	}
	if t.closing && c.Ended() {
		t.finish(now, nil)
	}
}

// close sends the FIN.
func (t *transfer) close(now sim.Time) {
	if !t.closing {
		t.closing = true
		if err := t.tcp.CloseWrite(now); err != nil {
			t.finish(now, err)
		}
	}
}

func (t *transfer) finish(now sim.Time, err error) {
	if t.done {
		return
	}
	t.done, t.ended, t.err = true, now, err
	t.player.origin.Stop(&t.timer)
	if t.samples != nil {
		t.player.origin.Stop(&t.samples.timer)
	}
	if t.tcp != nil {
		if c := t.tcp.Conn(); c != nil {
			t.info = c.Info(now)
		}
		t.tcp.Close(now)
	}
	t.player.finished(now)
}

// tcpValue is what came of a tcp load, of all its connections.
type tcpValue struct {
	Bytes       int           `expr:"bytes"` // acknowledged
	Took        time.Duration `expr:"took"`  // the longest, from SYN to the peer's FIN
	Goodput     float64       `expr:"goodput"`
	Retransmits int           `expr:"retransmits"`
	Errors      int           `expr:"errors"`
	Error       string        `expr:"error"` // the first
	RTT         time.Duration `expr:"rtt"`
	RTTMin      time.Duration `expr:"rtt_min"`
	CwndMax     int           `expr:"cwnd_max"` // segments
}

func (p *player) tcpNamed(now sim.Time, name string) (tcpValue, error) {
	i, err := p.find(name)
	if err != nil {
		return tcpValue{}, err
	}
	if p.loads[i] == nil || !p.items[i].load.tcp {
		return tcpValue{}, fmt.Errorf("%q is no tcp load", name)
	}
	return p.loads[i].tcpValue(now), nil
}

func (r *loadResult) tcpValue(now sim.Time) (v tcpValue) {
	for _, t := range r.transfers {
		info, ended := t.info, t.ended
		if !t.done {
			ended = now
			if t.tcp != nil && t.tcp.Conn() != nil {
				info = t.tcp.Conn().Info(now)
			}
		}
		acked := int(info.BytesAcked)
		if acked > 0 {
			acked-- // the SYN
		}
		acked = min(acked, int(t.written)) // nor the FIN
		v.Bytes += acked
		took := ended.Sub(t.started)
		v.Took = max(v.Took, took)
		if took > 0 {
			v.Goodput += float64(acked) * 8 / took.Seconds()
		}
		v.Retransmits += info.TotalRetrans
		v.RTT = max(v.RTT, info.RTT)
		if v.RTTMin == 0 || info.MinRTT < v.RTTMin {
			v.RTTMin = info.MinRTT
		}
		v.CwndMax = max(v.CwndMax, t.cwndMax)
		if t.err != nil {
			if v.Errors++; v.Error == "" {
				v.Error = t.err.Error()
			}
		}
	}
	return v
}
