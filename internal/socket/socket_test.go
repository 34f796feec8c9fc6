package socket_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/socket"
	"github.com/hopyard/hopyard/internal/stack"
)

// onTwoHosts runs main on h1 (10.0.0.1), which a cable of 1 ms joins to h2
// (10.0.0.2), where UDP port 7 echoes.
func onTwoHosts(t *testing.T, main func(n *socket.Net)) {
	t.Helper()
	l, found := lab.Parse("two.yaml", []byte(`
nodes:
  h1: { kind: host, addr: 10.0.0.1/24 }
  h2: { kind: host, addr: 10.0.0.2/24, services: [echo] }
links:
  - { endpoints: [h1, h2], delay: 1ms }
`))
	if found.HasErrors() {
		t.Fatal(found)
	}
	plan, found := lab.NewPlan(l)
	if found.HasErrors() {
		t.Fatal(found)
	}
	network := lab.Build(plan, nil)
	err := network.Kernel.RunVirtual(context.Background(), sim.Never, func() {
		if err := network.Start(0); err != nil {
			t.Error(err)
		}
		network.Host("h1").Start("test", main, nil)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lent := network.Pool.Lent(); lent != 0 {
		t.Errorf("%d frames were never released", lent)
	}
}

func TestEchoTakesTwoRoundTripsWithARP(t *testing.T) {
	onTwoHosts(t, func(n *socket.Net) {
		c, err := n.Dial(context.Background(), "udp", "h2:7")
		if err != nil {
			t.Error(err)
			return
		}
		started := time.Now()
		for i, want := range []time.Duration{4 * time.Millisecond, 2 * time.Millisecond} {
			if _, err := c.Write([]byte("hello")); err != nil {
				t.Error(err)
			}
			b := make([]byte, 10)
			size, err := c.Read(b)
			if took := time.Since(started); err != nil || string(b[:size]) != "hello" || took != want {
				t.Errorf("echo %d: %q, %v after %v, want hello after %v", i, b[:size], err, took, want)
			}
			started = time.Now()
		}
	})
}

func TestListenPacketAndLoopback(t *testing.T) {
	onTwoHosts(t, func(n *socket.Net) {
		server, err := n.ListenPacket("udp4", "127.0.0.1:5000")
		if err != nil {
			t.Error(err)
			return
		}
		client, err := n.ListenPacket("udp4", ":0")
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := client.WriteTo([]byte("x"), server.LocalAddr()); err != nil {
			t.Error(err)
		}
		b := make([]byte, 10)
		size, from, err := server.ReadFrom(b)
		if err != nil || size != 1 || from.(*net.UDPAddr).Port != client.LocalAddr().(*net.UDPAddr).Port {
			t.Errorf("read %d from %v: %v", size, from, err)
		}
		if _, err := n.ListenPacket("udp4", "127.0.0.1:5000"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("the same port again: %v, want EADDRINUSE", err)
		}
	})
}

func TestDeadlineIsExact(t *testing.T) {
	onTwoHosts(t, func(n *socket.Net) {
		c, _ := n.ListenUDP("udp4", netip.AddrPort{})
		started := time.Now()
		c.SetReadDeadline(started.Add(3 * time.Second))
		_, err := c.Read(make([]byte, 1))
		var timeout net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(started) != 3*time.Second {
			t.Errorf("read: %v after %v", err, time.Since(started))
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read after the deadline: %v", err)
		}
		c.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Second, func() { c.SetReadDeadline(time.Now()) })
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(started) != 4*time.Second {
			t.Errorf("a deadline set meanwhile: %v after %v", err, time.Since(started))
		}
	})
}

// Host unreachable is not "hard": as in Linux's udp_err, a socket is told with
// IP_RECVERR alone.
func TestNobodyAnswersARP(t *testing.T) {
	onTwoHosts(t, func(n *socket.Net) {
		c, _ := n.DialUDP("udp4", netip.AddrPort{}, netip.MustParseAddrPort("10.0.0.99:7"))
		c.SetRecvErr(true)
		started := time.Now()
		c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.EHOSTUNREACH) || time.Since(started).Truncate(time.Millisecond) != 3*time.Second {
			t.Errorf("read: %v after %v, want EHOSTUNREACH after three requests, 3s, and the way of the ICMP error over lo", err, time.Since(started))
		}
	})
}

// Two goroutines that want one socket must not stop virtual time.
func TestCloseEndsAReadAndIsCalledTwice(t *testing.T) {
	onTwoHosts(t, func(n *socket.Net) {
		c, _ := n.ListenUDP("udp4", netip.AddrPort{})
		done := make(chan struct{})
		for range 2 {
			go func() {
				time.Sleep(time.Second)
				c.Close()
				done <- struct{}{}
			}()
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read of a socket that was closed: %v", err)
		}
		<-done
		<-done
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write to a closed socket: %v", err)
		}
	})
}

func TestErrorsAreLinuxs(t *testing.T) {
	onTwoHosts(t, func(n *socket.Net) {
		read := func(address string) error {
			c, err := n.Dial(context.Background(), "udp", address)
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
			_, err = c.Read(make([]byte, 1))
			return err
		}
		for address, want := range map[string]error{
			"h2:9999":      syscall.ECONNREFUSED, // ICMP port unreachable
			"192.0.2.1:7":  syscall.ENETUNREACH,  // no route
			"10.0.0.255:9": syscall.EACCES,       // no SO_BROADCAST
			"127.0.0.1:9":  syscall.ECONNREFUSED, // nobody listens here either
		} {
			err := read(address)
			var op *net.OpError
			if !errors.Is(err, want) || !errors.As(err, &op) {
				t.Errorf("%s: %v, want %v in a *net.OpError", address, err, want)
			}
		}
		var dns *net.DNSError
		if err := read("nobody:7"); !errors.As(err, &dns) || !dns.IsNotFound {
			t.Errorf("a name that nobody has: %v", err)
		}
	})
}

func TestErrorQueueTellsWhoSaidIt(t *testing.T) {
	onTwoHosts(t, func(n *socket.Net) {
		c, _ := n.ListenUDP("udp4", netip.AddrPort{})
		c.SetRecvErr(true)
		to := netip.MustParseAddrPort("10.0.0.2:9999")
		c.WriteToAddrPort([]byte("x"), to)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("read: %v", err)
		}
		m, err := c.ReadError()
		if err != nil || m.Offender != to.Addr() || m.Type != 3 || m.Code != 3 || m.To != to {
			t.Errorf("error queue: %+v, %v", m, err)
		}
		if _, err := c.ReadError(); err == nil {
			t.Error("the queue has more than one entry")
		}
	})
}

func TestRawAndEthernetSocketsSeePackets(t *testing.T) {
	onTwoHosts(t, func(n *socket.Net) {
		raw, err := n.ListenIP("ip4:icmp", netip.Addr{})
		if err != nil {
			t.Error(err)
			return
		}
		frames, err := n.ListenEthernet("eth0", stack.AllTypes)
		if err != nil {
			t.Error(err)
			return
		}
		echo := []byte{8, 0, 0xf7, 0xfe, 0, 0, 0, 1}
		if err := raw.WriteMsg(echo, netip.MustParseAddr("10.0.0.2"), socket.IPOptions{TTL: 9}); err != nil {
			t.Error(err)
		}
		b := make([]byte, 100)
		size, info, err := raw.ReadMsg(b)
		if err != nil || size != 8 || b[0] != 0 || info.TTL != 64 || info.Interface != "eth0" || info.Src.String() != "10.0.0.2" {
			t.Errorf("raw: % x, %+v, %v", b[:size], info, err)
		}
		for _, want := range []byte{0x06, 0x06, 0x00, 0x00} { // ARP out and in, IPv4 out and in
			size, err := frames.ReadFrame(b)
			if err != nil || size < 42 || b[13] != want {
				t.Errorf("frame of %d bytes, type ..%02x, want ..%02x: %v", size, b[13], want, err)
			}
		}
		if _, err := n.ListenEthernet("eth9", stack.AllTypes); !errors.Is(err, syscall.ENODEV) {
			t.Errorf("an interface that is not there: %v", err)
		}
	})
}

// What a program leaves open is closed when it ends.
func TestProgramsEndClosesItsSockets(t *testing.T) {
	onTwoHosts(t, func(n *socket.Net) {
		c, _ := n.ListenUDP("udp4", netip.MustParseAddrPort("0.0.0.0:5000"))
		go c.Read(make([]byte, 1))
	})
}
