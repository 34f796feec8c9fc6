package gvisor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/socket"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// Options are switched off at either end in turn; then neither uses them.
func TestOptionsThatAreOff(t *testing.T) {
	for _, c := range []struct {
		name                      string
		s                         setting
		sack, timestamps, scaling bool
	}{
		{"none", setting{}, true, true, true},
		{"ours no SACK", setting{sysctl: "net.ipv4.tcp_sack: 0"}, false, true, true},
		{"gVisor no SACK", setting{noSACK: true}, false, true, true},
		{"ours no timestamps", setting{sysctl: "net.ipv4.tcp_timestamps: 0"}, true, false, true},
		{"ours no window scaling", setting{sysctl: "net.ipv4.tcp_window_scaling: 0"}, true, true, false},
		{"ours none", setting{sysctl: "net.ipv4.tcp_sack: 0, net.ipv4.tcp_timestamps: 0, net.ipv4.tcp_window_scaling: 0"}, false, false, false},
	} {
		for _, link := range []string{"delay: 5ms", "delay: 5ms, loss: 2%", "delay: 5ms, reorder: 5%", "delay: 5ms, duplicate: 5%"} {
			for _, weDial := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/weDial=%t", c.name, link, weDial), func(t *testing.T) {
					c.s.link = "rate: 1gbit, queue: 10000p, " + link
					p := newPeer(t, c.s)
					p.mayResend = strings.Contains(link, "reorder")
					p.transfer(weDial, 300_000, 300_000)
					if i := p.info; i.SACK != c.sack || i.Timestamps != c.timestamps || i.WindowScaling != c.scaling {
						t.Errorf("SACK %t, timestamps %t, window scaling %t", i.SACK, i.Timestamps, i.WindowScaling)
					}
				})
			}
		}
	}
}

func TestRefusedConnections(t *testing.T) {
	p := newPeer(t, setting{})
	p.run(func(n *socket.Net) error {
		if _, err := p.ourConn(n, true); !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("dialing gVisor: %v", err)
		}
		return nil
	}, func() error {
		p.sleep(time.Millisecond)
		if _, err := gonet.DialTCP(p.stack, end(ourAddrs[false]), protocolOf(false)); err == nil || !strings.Contains(err.Error(), "connection was refused") {
			return fmt.Errorf("dialing ours: %v", err)
		}
		return nil
	})
}

// delayed is a path on which much is on its way when a connection breaks.
const delayed = "rate: 1gbit, queue: 10000p, delay: 5ms"

// RFC 9293 3.6.1, RFC 2525 2.17: who closes without having read what came resets
// the connection.
func TestTheyResetInTheMiddle(t *testing.T) {
	for _, weDial := range []bool{true, false} {
		p := newPeer(t, setting{link: delayed})
		p.connect(weDial, func(c conn) error {
			_, err := c.Write(text(1, 8<<20))
			if !errors.Is(err, syscall.ECONNRESET) {
				return fmt.Errorf("writing: %v", err)
			}
			if _, err = c.Read(make([]byte, 1)); err != io.EOF { // the error was told once
				return fmt.Errorf("reading: %v", err)
			}
			return nil
		}, func(c conn) error {
			_, err := io.ReadFull(c, make([]byte, 200_000))
			return err
		})
	}
}

// So do we, and who asks for it with SO_LINGER.
func TestWeResetInTheMiddle(t *testing.T) {
	for _, weDial := range []bool{true, false} {
		for _, linger := range []bool{true, false} {
			p := newPeer(t, setting{link: delayed})
			p.connect(weDial, func(c conn) error {
				_, err := io.ReadFull(c, make([]byte, 200_000))
				if linger {
					return errors.Join(err, c.(*socket.TCPConn).SetLinger(0))
				}
				time.Sleep(100 * time.Millisecond) // until more has come
				return err
			}, func(c conn) error {
				if _, err := c.Write(text(1, 8<<20)); err == nil || !strings.Contains(err.Error(), "reset by peer") {
					return fmt.Errorf("writing: %v", err)
				}
				return nil
			})
			if stats := p.ours(); stats.OutRsts == 0 || stats.TCPAbortOnClose+stats.TCPAbortOnData != 1 {
				t.Errorf("linger %t: %d resets, aborted %d times for unread data and %d times for SO_LINGER", linger, stats.OutRsts, stats.TCPAbortOnClose, stats.TCPAbortOnData)
			}
		}
	}
}

// ask sends a question with a FIN and reads the answer to it.
func ask(c conn) error {
	_, err := c.Write(text(1, 5000))
	err = errors.Join(err, c.CloseWrite())
	got, readErr := io.ReadAll(c)
	if !bytes.Equal(got, text(2, 300_000)) {
		err = errors.Join(err, fmt.Errorf("the answer has %d bytes", len(got)))
	}
	return errors.Join(err, readErr)
}

// answer reads a question to its end and takes its time to answer.
func answer(c conn, pause func(time.Duration)) error {
	got, err := io.ReadAll(c)
	if !bytes.Equal(got, text(1, 5000)) {
		err = errors.Join(err, fmt.Errorf("the question has %d bytes", len(got)))
	}
	pause(2 * time.Minute) // longer than an orphan would wait in FIN-WAIT-2
	_, writeErr := c.Write(text(2, 300_000))
	return errors.Join(err, writeErr)
}

// A connection that is closed in one direction goes on in the other (RFC 9293
// 3.6, case 1).
func TestHalfClose(t *testing.T) {
	for _, link := range []string{"delay: 5ms", "delay: 5ms, loss: 5%"} {
		for _, weDial := range []bool{true, false} {
			p := newPeer(t, setting{link: link})
			p.connect(weDial, ask, func(c conn) error { return answer(c, p.sleep) })
			p = newPeer(t, setting{link: link})
			p.connect(weDial, func(c conn) error { return answer(c, time.Sleep) }, ask)
		}
	}
}

// Both FINs are on their way at once (RFC 9293 3.6, case 3).
func TestSimultaneousClose(t *testing.T) {
	for seed := range uint64(10) {
		p := newPeer(t, setting{link: "delay: 20ms, loss: 5%", seed: seed})
		part := func(pause func(time.Duration)) func(c conn) error {
			return func(c conn) error {
				pause(time.Second)
				return exchange(c, nil, nil, false)
			}
		}
		p.connect(true, part(time.Sleep), part(p.sleep))
	}
}

// A reader that stops closes the window; the sender probes until it opens again
// (RFC 9293 3.8.6.1), and nothing is sent twice where nothing is lost.
func TestReaderPauses(t *testing.T) {
	for _, link := range []string{"delay: 5ms", "delay: 5ms, loss: 5%"} {
		for _, weDial := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/weDial=%t", link, weDial), func(t *testing.T) {
				const size = 8 << 20
				write := func(c conn) error {
					_, err := c.Write(text(1, size))
					return errors.Join(err, c.CloseWrite())
				}
				read := func(pause func(time.Duration)) func(c conn) error {
					return func(c conn) error {
						pause(40 * time.Second)
						got, err := io.ReadAll(c)
						if !bytes.Equal(got, text(1, size)) {
							err = errors.Join(err, fmt.Errorf("%d bytes came", len(got)))
						}
						return err
					}
				}
				s := setting{link: "rate: 1gbit, queue: 10000p, " + link}
				p := newPeer(t, s)
				p.connect(weDial, write, read(p.sleep))
				if stats := p.ours(); stats.TCPWinProbe < 3 || p.lost() == 0 && stats.RetransSegs != 0 {
					t.Errorf("as the writer: %d probes, %d segments again", stats.TCPWinProbe, stats.RetransSegs)
				}
				p = newPeer(t, s)
				p.connect(weDial, read(time.Sleep), write)
				if stats := p.ours(); stats.TCPToZeroWindowAdv == 0 || stats.TCPFromZeroWindowAdv == 0 {
					t.Errorf("as the reader: the window closed %d times and opened %d times", stats.TCPToZeroWindowAdv, stats.TCPFromZeroWindowAdv)
				}
			})
		}
	}
}
