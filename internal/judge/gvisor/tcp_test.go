package gvisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/socket"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// conn is what both sides' connections can do.
type conn interface {
	net.Conn
	CloseWrite() error
}

const port = 7000

func end(a string) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: 1, Addr: address(a), Port: port}
}

// connect runs the two ends of one connection, which we or they open.
func (p *peer) connect(weDial bool, ours, theirs func(c conn) error) {
	p.t.Helper()
	p.run(func(n *socket.Net) error {
		c, err := p.ourConn(n, weDial)
		if err != nil {
			return err
		}
		return errors.Join(ours(c), c.Close())
	}, func() error {
		c, err := p.theirConn(weDial)
		if err != nil {
			return err
		}
		return errors.Join(theirs(c), c.Close())
	})
}

func (p *peer) ourConn(n *socket.Net, dial bool) (*socket.TCPConn, error) {
	network, local := "tcp4", netip.IPv4Unspecified()
	if p.ipv6 {
		network, local = "tcp6", netip.IPv6Unspecified()
		time.Sleep(2 * time.Second) // until the address is known to be nobody else's
	}
	for dial {
		c, err := n.DialTCP(context.Background(), network, netip.AddrPort{}, netip.AddrPortFrom(netip.MustParseAddr(theirAddrs[p.ipv6]), port))
		if !errors.Is(err, syscall.EHOSTUNREACH) { // three ARP requests were lost
			return c, err
		}
	}
	l, err := n.ListenTCP(network, netip.AddrPortFrom(local, port), 0)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.AcceptTCP()
}

func (p *peer) theirConn(weDial bool) (conn, error) {
	if !weDial {
		p.sleep(3 * time.Second) // until we listen
	}
	for !weDial {
		c, err := gonet.DialTCP(p.stack, end(ourAddrs[p.ipv6]), protocolOf(p.ipv6))
		if err == nil || !strings.Contains(err.Error(), "no route to host") {
			return c, err
		}
	}
	l, err := gonet.ListenTCP(p.stack, end(theirAddrs[p.ipv6]), protocolOf(p.ipv6))
	if err != nil {
		return nil, err
	}
	defer l.Close()
	c, err := l.Accept()
	if err != nil {
		return nil, err
	}
	return c.(*gonet.TCPConn), nil
}

// text is n bytes that do not repeat in the length of a segment; salt tells the
// directions apart.
func text(salt byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(uint32(i)*2654435761>>24) ^ salt
	}
	return b
}

// exchange sends one text and meanwhile receives the other, up to a FIN. Its own
// FIN follows its text at once, or with last only when the other text has come.
func exchange(c conn, send, receive []byte, last bool) error {
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(send)
		if !last {
			err = errors.Join(err, c.CloseWrite())
		}
		sent <- err
	}()
	got, err := io.ReadAll(c)
	if err == nil && !bytes.Equal(got, receive) {
		err = fmt.Errorf("received %d bytes, which are not the %d that were sent", len(got), len(receive))
	}
	err = errors.Join(<-sent, err)
	if last {
		err = errors.Join(err, c.CloseWrite())
	}
	return err
}

// transfer plays an exchange of two texts and judges what ours did. gVisor's FIN is the last:
// once it has sent one, it does not say any more what it received out of order,
// though RFC 2018 4 has it do so as long as SACK is on (sendRaw in its connect.go), and
// then Linux's sender and ours have to wait for the RTO.
func (p *peer) transfer(weDial bool, up, down int) {
	p.t.Helper()
	ours, theirs := text(1, up), text(2, down)
	p.connect(weDial,
		func(c conn) error {
			start := time.Now()
			defer func() { p.took = time.Since(start) }()
			p.info, _ = c.(*socket.TCPConn).Info()
			return exchange(c, ours, theirs, false)
		},
		func(c conn) error { return exchange(c, theirs, ours, true) })
	if stats := p.ours(); p.lost() == 0 && !p.mayResend && stats.RetransSegs != 0 {
		p.t.Errorf("nothing was lost, but ours sent %d of %d segments again", stats.RetransSegs, stats.OutSegs)
	}
}

// small is buffers of 16 KiB at our end.
const small = `net.ipv4.tcp_rmem: "4096 16384 16384", net.ipv4.tcp_wmem: "4096 16384 16384"`

// Texts arrive whole over each kind of path, in either direction and in both at
// once, whoever opens the connection.
func TestTransfers(t *testing.T) {
	const size = 1 << 20
	for _, loss := range []string{"0%", "1%", "5%"} {
		for _, delay := range []string{"0ms", "5ms", "20ms"} {
			for _, buffer := range []int{16 << 10, 0} {
				for _, weDial := range []bool{true, false} {
					for _, way := range []struct {
						name     string
						up, down int
					}{{"up", size, 0}, {"down", 0, size}, {"both", size, size}} {
						s := setting{link: fmt.Sprintf("rate: 1gbit, queue: 10000p, loss: %s, delay: %s", loss, delay), buffer: buffer}
						if buffer > 0 {
							s.sysctl = small
						}
						t.Run(fmt.Sprintf("loss=%s/delay=%s/buffer=%d/weDial=%t/%s", loss, delay, buffer, weDial, way.name), func(t *testing.T) {
							p := newPeer(t, s)
							p.transfer(weDial, way.up, way.down)
							if loss == "5%" && p.lost() == 0 {
								t.Error("the link lost nothing")
							}
							// With SACK and RACK no segment goes again that was not lost itself.
							if n := p.ours().RetransSegs; n > p.lost() {
								t.Errorf("ours sent %d segments again, and %d were lost", n, p.lost())
							}
							stats, total := p.ours(), 8*(way.up+way.down)
							t.Logf("%.1f Mbit/s; %d frames lost; ours sent %d of %d segments again, gVisor %d", float64(total)/float64(p.took.Microseconds()),
								p.lost(), stats.RetransSegs, stats.OutSegs, p.stack.Stats().TCP.Retransmits.Value())
						})
					}
				}
			}
		}
	}
}

func TestTransfersOverIPv6(t *testing.T) {
	for _, loss := range []string{"0%", "5%"} {
		for _, weDial := range []bool{true, false} {
			newPeer(t, setting{link: "rate: 1gbit, queue: 10000p, delay: 5ms, loss: " + loss, ipv6: true}).transfer(weDial, 1<<20, 1<<20)
		}
	}
}

// The same settings give the same frames at the same instants, gVisor's too.
func TestRunsRepeat(t *testing.T) {
	s := setting{link: "rate: 100mbit, delay: 5ms, loss: 2%", seed: 3}
	first, second := newPeer(t, s), newPeer(t, s)
	first.transfer(true, 300_000, 300_000)
	second.transfer(true, 300_000, 300_000)
	if first.digest != second.digest || first.lost() == 0 {
		t.Errorf("two runs differ: %x %v, %x %v", first.digest, first.took, second.digest, second.took)
	}
}
