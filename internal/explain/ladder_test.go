package explain_test

import (
	"context"
	"flag"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/explain"
	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/socket"
	"github.com/hopyard/hopyard/internal/tcp"
	"github.com/hopyard/hopyard/internal/wire"
)

var update = flag.Bool("update", false, "rewrite what ladders are expected")

const pair = `
nodes:
  h1: { kind: host, addr: 10.0.0.1/24 }
  h2: { kind: host, addr: 10.0.0.2/24 }
links:
  - { name: cable, endpoints: [h1, h2], delay: 10ms, rate: 100mbit }
`

const routed = `
nodes:
  h1: { kind: host }
  r1: { kind: router }
  h2: { kind: host }
links:
  - { name: near, endpoints: [h1, r1], delay: 2ms }
  - { name: far, endpoints: [r1, h2], delay: 10ms }
`

// play runs server on h2 and then client on h1 until both return, and records
// to the sinks.
func play(t *testing.T, text string, server, client func(n *socket.Net), sinks ...record.Sink) {
	t.Helper()
	l, found := lab.Parse("ladder.yaml", []byte(text))
	if found.HasErrors() {
		t.Fatal(found)
	}
	plan, found := lab.NewPlan(l)
	if found.HasErrors() {
		t.Fatal(found)
	}
	rec := record.New()
	for _, s := range sinks {
		rec.Attach(s)
	}
	network := lab.Build(plan, rec)
	err := network.Kernel.RunVirtual(context.Background(), sim.Time(5*time.Minute), func() {
		if err := network.Start(0); err != nil {
			t.Error(err)
		}
		network.Host("h2").Start("server", server, nil)
		network.Host("h1").Start("client", client, nil)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
}

// golden compares a ladder with the one in testdata.
func golden(t *testing.T, name string, l *explain.Ladder) {
	t.Helper()
	var got strings.Builder
	if err := l.Write(&got); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "ladder", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got.String(), want)
	}
}

// serve accepts one connection on port 80.
func serve(t *testing.T, with func(c *socket.TCPConn)) func(n *socket.Net) {
	return func(n *socket.Net) {
		l, err := n.ListenTCP("tcp", netip.MustParseAddrPort("0.0.0.0:80"), 0)
		if err != nil {
			t.Error(err)
			return
		}
		c, err := l.AcceptTCP()
		if err != nil {
			t.Error(err)
			return
		}
		with(c)
		c.Close()
	}
}

// dial connects to it from port 4000.
func dial(t *testing.T, with func(c *socket.TCPConn)) func(n *socket.Net) {
	return func(n *socket.Net) {
		c, err := connect(n, "h2", ":4000", ":80")
		if err != nil {
			t.Error(err)
			return
		}
		with(c)
		c.Close()
	}
}

func connect(n *socket.Net, to, from, port string) (*socket.TCPConn, error) {
	found, err := n.LookupHost(to)
	if err != nil {
		return nil, err
	}
	local := netip.MustParseAddrPort("0.0.0.0" + from)
	return n.DialTCP(n.Proc().Context(), "tcp4", local, netip.MustParseAddrPort(found[0].String()+port))
}

// TestLadderOfRoutedConnection also holds that captures tell the same as the run,
// as far as they see.
func TestLadderOfRoutedConnection(t *testing.T) {
	dir := t.TempDir()
	captures, err := record.NewPcapWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	var run explain.Ladder
	play(t, routed, serve(t, func(c *socket.TCPConn) {
		io.Copy(c, c)
	}), dial(t, func(c *socket.TCPConn) {
		c.Write([]byte("hello"))
		c.CloseWrite()
		io.Copy(io.Discard, c)
	}), &run, captures)
	golden(t, "routed", &run)

	var all, one, router explain.Ladder
	for path, l := range map[string]*explain.Ladder{"all.pcapng": &all, "h1-eth0.pcapng": &one, "r1-eth1.pcapng": &router} {
		if err := l.Capture(filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "routed", &all)
	golden(t, "routed-at-h1", &one)
	golden(t, "routed-at-r1", &router)

	var other, long strings.Builder
	if (&explain.Ladder{Host: "h3"}).Write(&other); other.Len() > 0 {
		t.Errorf("no connection is h3's:\n%s", other.String())
	}
	short := explain.Ladder{SegmentsMax: 5}
	if err := short.Capture(filepath.Join(dir, "all.pcapng")); err != nil {
		t.Fatal(err)
	}
	short.Write(&long)
	if want := "TCP h1 10.128.0.2:4000 -> h2 10.128.0.6:80: 0.004000000s to 0.072000000s, 10 segments, 5 B there, 5 B back, closed by both\n"; long.String() != want {
		t.Errorf("too many segments: got\n%swant\n%s", long.String(), want)
	}
}

func TestLadderOfSimultaneousOpenAndClose(t *testing.T) {
	open := func(to string) func(n *socket.Net) {
		return func(n *socket.Net) {
			time.Sleep(time.Until(time.Date(2000, 1, 1, 0, 0, 1, 0, time.UTC)))
			c, err := connect(n, to, ":4000", ":4000")
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(time.Second)
			c.Close()
		}
	}
	var l explain.Ladder
	play(t, pair, open("h1"), open("h2"), &l)
	golden(t, "simultaneous", &l)
}

func TestLadderOfReset(t *testing.T) {
	var l explain.Ladder
	play(t, pair, serve(t, func(c *socket.TCPConn) {
		io.ReadFull(c, make([]byte, 3))
		c.SetLinger(0)
	}), func(n *socket.Net) {
		if _, err := connect(n, "h2", ":4001", ":81"); err == nil {
			t.Error("nobody listens on port 81")
		}
		dial(t, func(c *socket.TCPConn) {
			c.Write([]byte("bye"))
			c.Read(make([]byte, 1))
		})(n)
	}, &l)
	golden(t, "reset", &l)
}

func TestLadderOfSlowReader(t *testing.T) {
	var l explain.Ladder
	play(t, pair, func(n *socket.Net) {
		listener, err := n.ListenTCP("tcp", netip.MustParseAddrPort("0.0.0.0:80"), 0)
		if err != nil {
			t.Error(err)
			return
		}
		listener.SetOptions(func(o *tcp.Options) { o.ReceiveBuffer = 8000 })
		c, err := listener.AcceptTCP()
		if err != nil {
			t.Error(err)
			return
		}
		time.Sleep(2 * time.Second)
		io.Copy(io.Discard, c)
		c.Close()
	}, dial(t, func(c *socket.TCPConn) {
		c.Write(make([]byte, 12_000))
	}), &l)
	golden(t, "slow-reader", &l)
}

func TestLadderOfKeepalive(t *testing.T) {
	var l explain.Ladder
	play(t, pair, serve(t, func(c *socket.TCPConn) {
		c.SetKeepAlive(false)
		io.Copy(io.Discard, c)
	}), dial(t, func(c *socket.TCPConn) {
		c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: time.Second})
		time.Sleep(25 * time.Second)
	}), &l)
	golden(t, "keepalive", &l)
}

// TestLadderOfLosses has a router's queue overflow: a burst loses its middle and
// its tail.
func TestLadderOfLosses(t *testing.T) {
	for name, size := range map[string]int{"overflow": 14_480, "overflow-tail": 7_240} {
		var l explain.Ladder
		play(t, strings.Replace(routed, "delay: 10ms", "delay: 10ms, rate: 1mbit, queue: 3p", 1), serve(t, func(c *socket.TCPConn) {
			io.Copy(io.Discard, c)
		}), dial(t, func(c *socket.TCPConn) {
			c.Write(make([]byte, size))
		}), &l)
		golden(t, name, &l)
	}
}

// TestLadderOfReordering has a link hold some segments back.
func TestLadderOfReordering(t *testing.T) {
	var l explain.Ladder
	play(t, strings.Replace(pair, "delay: 10ms", "delay: 10ms, reorder: 25%, duplicate: 10%", 1), serve(t, func(c *socket.TCPConn) {
		io.Copy(io.Discard, c)
	}), dial(t, func(c *socket.TCPConn) {
		c.Write(make([]byte, 14_480))
	}), &l)
	golden(t, "reordering", &l)
}

// FuzzLadder has segments that make no sense on their way between two hosts.
func FuzzLadder(f *testing.F) {
	f.Add([]byte{1, 2, 0, 0, 0, 9, 9, 1, 0, 0, 1, 18, 1, 0, 7, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		var l explain.Ladder
		l.AddPlace(0, record.Place{Node: "h1", Port: "eth0"})
		l.AddPlace(1, record.Place{Node: "h2", Port: "eth0"})
		ends := [2]netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2")}
		for i := 0; len(b) >= 8; i++ {
			from := int(b[0] & 1)
			h := wire.TCPHeader{
				Src: ends[from], Dst: ends[1-from], Flags: wire.TCPFlags(b[1]), Window: uint16(b[2]) << (b[0] >> 4),
				Seq: uint32(b[3]) * 100, Ack: uint32(b[4]) * 100, Options: b[8:min(len(b), 8+int(b[6]%40))],
			}
			segment := wire.AppendTCP(nil, h, make([]byte, int(b[5])))
			frame := wire.AppendEthernet(nil, wire.EthernetHeader{Type: wire.TypeIPv4})
			frame = wire.AppendIPv4(frame, wire.IPv4Header{Src: ends[from].Addr(), Dst: ends[1-from].Addr(), TTL: 64, Protocol: wire.ProtocolTCP}, len(segment))
			e := record.Event{At: sim.Time(i), Kind: record.Sent, Place: from, Packet: uint64(b[7]), Data: append(frame, segment...)}
			l.Event(e)
			if b[0]&2 != 0 {
				e.Kind, e.Place = record.Received, 1-from
			} else {
				e.Kind, e.Why = record.Dropped, wire.Drop(b[0]>>2)
			}
			l.Event(e)
			b = b[8:]
		}
		if err := l.Write(io.Discard); err != nil {
			t.Error(err)
		}
	})
}
