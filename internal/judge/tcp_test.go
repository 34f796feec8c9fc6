package judge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/socket"
)

// pattern is n bytes that do not repeat in the length of a segment.
type pattern struct{ at, n int }

func (p *pattern) Read(b []byte) (int, error) {
	if p.at == p.n {
		return 0, io.EOF
	}
	k := min(len(b), p.n-p.at)
	for i := range b[:k] {
		v := uint32(p.at+i) * 2654435761
		b[i] = byte(v >> 24)
	}
	p.at += k
	return k, nil
}

// sum is the SHA-256 of n bytes of pattern.
func sum(n int) string {
	h := sha256.New()
	io.Copy(h, &pattern{n: n})
	return hex.EncodeToString(h.Sum(nil))
}

// serve runs a web server on h1: GET /N gives N bytes, PUT tells the digest of what came.
func serve(n *socket.Net) error {
	l, err := n.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			h := sha256.New()
			size, err := io.Copy(h, r.Body)
			fmt.Fprintf(w, "%d %x %v\n", size, h.Sum(nil), err)
			return
		}
		size := 0
		fmt.Sscanf(r.URL.Path, "/%d", &size)
		w.Header().Set("Content-Length", fmt.Sprint(size))
		io.Copy(w, &pattern{n: size})
	}))
}

const large = 100_000_000

func TestLinuxFetchesFromHost(t *testing.T) {
	p := newProgram(t, lan, func(n *socket.Net) { serve(n) })
	r := p.linux("sh", "-c", fmt.Sprintf("curl -sS http://10.77.1.11/%d | sha256sum", large))
	r.expect(t, 0, map[string]int{sum(large): 1})
	if got := p.snmp("Tcp", "InErrs"); got != "0" {
		t.Errorf("Linux saw %s bad segments", got)
	}
}

func TestLinuxSendsToHost(t *testing.T) {
	p := newProgram(t, lan, func(n *socket.Net) { serve(n) })
	r := p.linux("sh", "-c", fmt.Sprintf("head -c %d /dev/zero | curl -sS -T - http://10.77.1.11/", large))
	zeros := sha256.New()
	io.CopyN(zeros, zero{}, large)
	r.expect(t, 0, map[string]int{fmt.Sprintf("^%d %x <nil>$", large, zeros.Sum(nil)): 1})
}

type zero struct{}

func (zero) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// Options are switched off at Linux's end in turn, and paths lose and reorder.
func TestLinuxWithOtherSettings(t *testing.T) {
	for _, c := range []struct{ name, sysctl, link string }{
		{"no window scaling", "tcp_window_scaling=0", ""},
		{"no SACK", "tcp_sack=0", ""},
		{"no timestamps", "tcp_timestamps=0", ""},
		{"nothing", "tcp_timestamps=0 tcp_sack=0 tcp_window_scaling=0", ""},
		{"small MTU", "", "mtu: 576"},
		{"loss", "", "loss: 5%"},
		{"loss without SACK", "tcp_sack=0", "loss: 5%"},
		{"reordering", "", "reorder: 10%, delay: 1ms"},
		{"duplicates", "", "duplicate: 10%"},
	} {
		t.Run(c.name, func(t *testing.T) {
			size := 3_000_000
			lab := strings.Replace(lan, "  - h1-sw\n", "  - { endpoints: [h1, sw], "+c.link+" }\n", 1)
			p := newProgram(t, lab, func(n *socket.Net) { serve(n) })
			for s := range strings.FieldsSeq(c.sysctl) {
				p.linux("sh", "-c", "sysctl -qw net.ipv4."+s).expect(t, 0, nil)
			}
			p.linux("sh", "-c", fmt.Sprintf("curl -sS http://10.77.1.11/%d | sha256sum", size)).expect(t, 0, map[string]int{sum(size): 1})
			p.linux("sh", "-c", fmt.Sprintf("head -c %d /dev/zero | curl -sS -T - http://10.77.1.11/", size)).expect(t, 0, map[string]int{fmt.Sprintf("^%d ", size): 1})
		})
	}
}

func TestLinuxIsRefusedAConnection(t *testing.T) {
	p := newProgram(t, lan, func(n *socket.Net) {})
	p.linux("nc", "-n", "-v", "-w", "5", "10.77.1.11", "81").expect(t, 1, map[string]int{"Connection refused": 1})
}

func TestHostFetchesFromLinux(t *testing.T) {
	const size = 20_000_000
	got := make(chan string, 1)
	ready := make(chan struct{})
	p := newProgram(t, lan, func(n *socket.Net) {
		select {
		case <-ready:
		case <-n.Proc().Context().Done():
			return
		}
		c, err := n.Dial(n.Proc().Context(), "tcp", "10.77.1.2:8000")
		if err != nil {
			got <- err.Error()
			return
		}
		defer c.Close()
		h := sha256.New()
		k, err := io.Copy(h, c)
		got <- fmt.Sprintf("%d %x %v", k, h.Sum(nil), err)
	})
	zeros := sha256.New()
	io.CopyN(zeros, zero{}, size)
	go func() {
		for range 200 { // until it listens
			if r := p.linux("sh", "-c", "ss -Hltn sport = 8000"); r.out != "" {
				break
			}
		}
		close(ready)
	}()
	p.linux("sh", "-c", fmt.Sprintf("head -c %d /dev/zero | nc -l -N -w 20 10.77.1.2 8000", size)).expect(t, 0, nil)
	if r, want := <-got, fmt.Sprintf("%d %x <nil>", size, zeros.Sum(nil)); r != want {
		t.Errorf("the host received %s, want %s", r, want)
	}
}

// A half-closed connection still brings the answer.
func TestHalfCloseWithLinux(t *testing.T) {
	p := newProgram(t, lan, func(n *socket.Net) {
		l, err := n.Listen("tcp", ":2000")
		if err != nil {
			return
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) {
				b, err := io.ReadAll(c)
				fmt.Fprintf(c, "%d bytes, %v\n", len(b), err)
				c.Close()
			}(c)
		}
	})
	r := p.linuxWith("half a word", "nc", "-n", "-N", "-w", "5", "10.77.1.11", "2000")
	r.expect(t, 0, map[string]int{"^11 bytes, <nil>$": 1})
}

// newProgram is newPeer with a program on h1 in place of commands.
func newProgram(t *testing.T, text string, main func(n *socket.Net)) *peer {
	t.Helper()
	p := newPeerWith(t, text, func(p *peer) {
		p.network.Host("h1").Start("program", main, func(sim.Time) {})
	})
	// tshark takes the same segment on several hops for a retransmission. By the wall
	// clock a machine that stalls for two milliseconds makes either end probe for a loss;
	// that there is none without reason is held in virtual time (labs_test.go).
	p.capture, p.lossy = "h1-eth0.pcapng", true
	return p
}

func TestJumboFramesWithLinux(t *testing.T) {
	p := newProgram(t, strings.Replace(lan, "links:\n", "defaults:\n  link: { mtu: 9000 }\nlinks:\n", 1), func(n *socket.Net) { serve(n) })
	p.linux("ip", "link", "set", "lab0", "mtu", "9000").expect(t, 0, nil)
	const size = 20_000_000
	p.linux("sh", "-c", fmt.Sprintf("curl -sS http://10.77.1.11/%d | sha256sum", size)).expect(t, 0, map[string]int{sum(size): 1})
	// Segments of 9000 less headers and timestamps: anything smaller needs more.
	var segments int
	fmt.Sscan(p.snmp("Tcp", "InSegs"), &segments)
	if most := size/8948 + 1000; segments > most {
		t.Errorf("Linux received %d segments, want at most %d", segments, most)
	}
}
