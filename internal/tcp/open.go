package tcp

import (
	"net/netip"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Dial opens a connection: it sends a SYN (RFC 9293 3.10.1). pathMTU is what the
// path takes, in bytes of an IP packet. The connection is Established later, or
// closed with an error; Notify tells.
func (m *Machine) Dial(now sim.Time, route Route, options Options, pathMTU int, notify func(now sim.Time)) *Conn {
	c := m.newConn(route, options)
	c.Notify = notify
	c.iss = m.initialSequence(now, route.Local, route.Remote)
	c.sndUna, c.sndNxt, c.writeEnd = c.iss, c.iss+1, c.iss+1
	c.pushSeq = c.writeEnd
	c.tsOffset = m.timestampOffset(route.Local, route.Remote)
	c.mssClamp = 65535
	c.advMSS = advertisedMSS(pathMTU, route.Remote.Addr(), options.MaxSegment)
	c.syncMSS(pathMTU)
	c.rcvWnd, c.rcvScale = m.initialWindow(c.rcvbuf, options.WindowClamp, c.advMSS)
	c.windowMax = clampOf(options.WindowClamp, c.rcvScale)
	c.ssthreshIn = c.rcvWnd
	if m.Sysctl.ECN == 1 {
		c.ecn = ecnOK
	}
	c.state = SynSent
	c.synAt = now
	c.lastIn = now
	m.Stats.ActiveOpens++
	c.queue.push(sent{seq: c.iss, end: c.sndNxt, at: now, flags: wire.TCPSyn})
	c.packetsOut = 1
	c.sendSyn(now, wire.TCPSyn)
	c.setRetransmit(now, pendingRetransmit, c.rto)
	c.settle(now)
	return c
}

func clampOf(asked int, scale uint8) uint32 {
	clamp := uint32(65535) << scale
	if asked > 0 {
		clamp = min(clamp, uint32(asked))
	}
	return clamp
}

// advertisedMSS is what our SYN says: the MTU without headers (RFC 6691).
func advertisedMSS(mtu int, remote netip.Addr, limit int) int {
	mss := mtu - wire.IPv4MinLen - wire.TCPMinLen
	if remote.Is6() {
		mss = mtu - wire.IPv6Len - wire.TCPMinLen
	}
	if limit > 0 {
		mss = min(mss, limit)
	}
	return min(max(mss, mssMin), 65535-60)
}

// newConn is a connection with nothing known of the peer.
func (m *Machine) newConn(route Route, options Options) *Conn {
	c := &Conn{Options: options, Route: route, machine: m, state: Closed}
	c.sndbuf, c.rcvbuf = m.Sysctl.Wmem[1], m.Sysctl.Rmem[1]
	if options.SendBuffer > 0 {
		c.sndbuf = max(options.SendBuffer, 4608)
	}
	if options.ReceiveBuffer > 0 {
		c.rcvbuf = max(options.ReceiveBuffer, 2304)
	}
	c.timers.clear()
	c.rto = rtoInitial
	c.mdev = int64(rtoInitial) / 1000
	name := options.Congestion
	if name == "" {
		name = m.Sysctl.Congestion
	}
	c.congestion = newCongestion(name)
	c.cwnd, c.ssthresh = initialCwnd, ssthreshInfinite
	c.reordering = uint32(m.Sysctl.Reordering)
	c.rack.steps = 1
	return c
}

// PortHash says where to look first for the port of a connection to remote (RFC
// 6056 3.3.3).
func (m *Machine) PortHash(local netip.Addr, remote netip.AddrPort) uint64 {
	return m.hash(hashPort, netip.AddrPortFrom(local, 0), remote, 0)
}

// Reusable reports whether a new connection may have the ends of this one, which
// is in TIME-WAIT: a second has gone by and timestamps will tell them apart (RFC 6191,
// tcp_tw_reuse).
func (c *Conn) Reusable(now sim.Time) bool {
	return c.state == TimeWait && c.tsEnabled && now.Sub(c.tsRecentAt) > 1e9
}
