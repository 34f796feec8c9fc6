package socket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/socket"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/tcp"
)

// between runs server on h2 and then client on h1, until client returns.
func between(t *testing.T, link string, server, client func(n *socket.Net)) *lab.Network {
	t.Helper()
	l, found := lab.Parse("two.yaml", fmt.Appendf(nil, `
nodes:
  h1: { kind: host, addr: 10.0.0.1/24 }
  h2: { kind: host, addr: 10.0.0.2/24 }
links:
  - { endpoints: [h1, h2], %s }
`, link))
	if found.HasErrors() {
		t.Fatal(found)
	}
	plan, found := lab.NewPlan(l)
	if found.HasErrors() {
		t.Fatal(found)
	}
	network := lab.Build(plan, nil)
	err := network.Kernel.RunVirtual(context.Background(), sim.Time(24*time.Hour), func() {
		if err := network.Start(0); err != nil {
			t.Error(err)
		}
		p := network.Host("h2").Start("server", server, nil)
		network.Host("h1").Start("client", client, func(sim.Time) { p.Stop(sim.ErrEnded) })
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lent := network.Pool.Lent(); lent != 0 {
		t.Errorf("%d frames were never released", lent)
	}
	return network
}

// accept serves each connection to port 80 with serve.
func accept(t *testing.T, serve func(c net.Conn)) func(n *socket.Net) {
	return func(n *socket.Net) {
		l, err := n.Listen("tcp", ":80")
		if err != nil {
			t.Error(err)
			return
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				serve(c)
				c.Close()
			}()
		}
	}
}

func TestHTTP(t *testing.T) {
	body := bytes.Repeat([]byte("hopyard "), 50_000)
	between(t, "delay: 5ms, rate: 100mbit", func(n *socket.Net) {
		l, err := n.Listen("tcp", ":80")
		if err != nil {
			t.Error(err)
			return
		}
		mux := http.NewServeMux()
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s asked for %s", r.RemoteAddr, r.URL.Path)
		})
		mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) { w.Write(body) })
		(&http.Server{Handler: mux}).Serve(l)
	}, func(n *socket.Net) {
		client := &http.Client{Transport: &http.Transport{DialContext: n.Dial}}
		defer client.CloseIdleConnections()
		for _, want := range []time.Duration{30 * time.Millisecond, 10 * time.Millisecond} { // ARP and the handshake cost a round trip each
			started := time.Now()
			r, err := client.Get("http://h2/page")
			if err != nil {
				t.Error(err)
				return
			}
			text, err := io.ReadAll(r.Body)
			r.Body.Close()
			if took := time.Since(started).Truncate(time.Millisecond); err != nil || !strings.HasSuffix(string(text), "asked for /page") || took != want {
				t.Errorf("%q, %v in %v, want %v", text, err, took, want)
			}
		}
		r, err := client.Get("http://h2/large")
		if err != nil {
			t.Error(err)
			return
		}
		got, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes, %v; want %d", len(got), err, len(body))
		}
	})
}

func TestConnectionErrors(t *testing.T) {
	between(t, "delay: 1ms", accept(t, func(c net.Conn) {
		if strings.HasSuffix(c.RemoteAddr().String(), ":4000") {
			c.(*socket.TCPConn).SetLinger(0)
		}
	}), func(n *socket.Net) {
		ctx := context.Background()
		if _, err := n.Dial(ctx, "tcp", "h2:81"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("no listener: %v, want ECONNREFUSED", err)
		}
		started := time.Now()
		if _, err := n.Dial(ctx, "tcp", "10.0.0.9:80"); !errors.Is(err, syscall.EHOSTUNREACH) || time.Since(started) < 3*time.Second {
			t.Errorf("no such host: %v after %v, want EHOSTUNREACH", err, time.Since(started))
		}
		if _, err := n.Dial(ctx, "tcp", "192.0.2.1:80"); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("no route: %v, want ENETUNREACH", err)
		}
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		started = time.Now()
		var timeout net.Error
		if _, err := n.Dial(short, "tcp", "10.0.0.9:80"); !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(started) != 2*time.Second {
			t.Errorf("a deadline of 2 s: %v after %v", err, time.Since(started))
		}
		c, err := n.DialTCP(ctx, "tcp", netip.MustParseAddrPort("10.0.0.1:4000"), netip.MustParseAddrPort("10.0.0.2:80"))
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the peer resets: %v, want ECONNRESET", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("then a write: %v, want EPIPE", err)
		}
	})
}

func TestWriteBlocksUntilThePeerReads(t *testing.T) {
	const size = 3 << 20
	between(t, "delay: 1ms, rate: 1gbit", accept(t, func(c net.Conn) {
		time.Sleep(10 * time.Second)
		if n, err := io.Copy(io.Discard, c); n != size || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
	}), func(n *socket.Net) {
		c, err := n.Dial(context.Background(), "tcp", "h2:80")
		if err != nil {
			t.Error(err)
			return
		}
		c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		k, err := c.Write(make([]byte, size))
		if !errors.Is(err, os.ErrDeadlineExceeded) || k == 0 || k > 1<<20 {
			t.Errorf("wrote %d bytes to a peer that does not read: %v", k, err)
		}
		c.SetWriteDeadline(time.Time{})
		started := time.Now()
		if _, err := c.Write(make([]byte, size-k)); err != nil || time.Since(started) < 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(started))
		}
		c.(*socket.TCPConn).CloseWrite()
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the peer has all: %v, want EOF", err)
		}
	})
}

func TestLoopbackConnection(t *testing.T) {
	between(t, "delay: 1ms", func(*socket.Net) {}, func(n *socket.Net) {
		l, err := n.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Error(err)
			return
		}
		done := make(chan error, 1)
		go func() {
			c, err := l.Accept()
			if err == nil {
				_, err = io.Copy(c, c)
				c.Close()
			}
			done <- err
		}()
		c, err := n.Dial(context.Background(), "tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		want := bytes.Repeat([]byte("0123456789"), 100_000)
		go func() {
			c.Write(want)
			c.(*socket.TCPConn).CloseWrite()
		}()
		got, err := io.ReadAll(c)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		c.Close()
	})
}

// TestConn is the test of package net's own conns.
func TestConn(t *testing.T) {
	t.Parallel()
	between(t, "delay: 1ms", func(*socket.Net) {}, func(n *socket.Net) {
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			l, err := n.ListenTCP("tcp", netip.MustParseAddrPort("127.0.0.1:0"), 0)
			if err != nil {
				return nil, nil, nil, err
			}
			accepted := make(chan net.Conn, 1)
			go func() {
				c, _ := l.Accept()
				accepted <- c
			}()
			if c1, err = n.Dial(context.Background(), "tcp", l.Addr().String()); err != nil {
				return nil, nil, nil, err
			}
			c2 = <-accepted
			return c1, c2, func() { c1.Close(); c2.Close(); l.Close() }, nil
		})
	})
}

func TestInfo(t *testing.T) {
	between(t, "delay: 10ms", accept(t, func(c net.Conn) { io.Copy(io.Discard, c) }), func(n *socket.Net) {
		c, err := n.Dial(context.Background(), "tcp", "h2:80")
		if err != nil {
			t.Error(err)
			return
		}
		c.Write(make([]byte, 100_000))
		time.Sleep(time.Second)
		i, err := c.(*socket.TCPConn).Info()
		if err != nil || i.State != tcp.Established || i.RTT.Truncate(time.Millisecond) != 20*time.Millisecond || i.BytesAcked != 100_001 || i.TotalRetrans != 0 || i.SendMSS != 1448 {
			t.Errorf("%+v, %v", i, err)
		}
	})
}

// A program that waits in Accept gets the connection in the very call in which it
// comes about; the connection's timers are armed all the same.
func TestAcceptedConnectionKeepsItselfAlive(t *testing.T) {
	between(t, "delay: 1ms", func(n *socket.Net) {
		l, err := n.Listen("tcp", ":80")
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := l.Accept(); err != nil {
			t.Error(err)
			return
		}
		time.Sleep(50 * time.Second)
		n.Inspect(func(_ sim.Time, s *stack.Stack) {
			if probes := s.TCPStats().TCPKeepAlive; probes != 3 {
				t.Errorf("%d keepalive probes in 50 s, want one every 15 s", probes)
			}
		})
	}, func(n *socket.Net) {
		c, err := n.Dial(context.Background(), "tcp", "h2:80")
		if err != nil {
			t.Error(err)
			return
		}
		c.(*socket.TCPConn).SetKeepAlive(false)
		time.Sleep(60 * time.Second)
	})
}
