package shell_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/shell"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/socket"
)

// typed is a command line that is typed at a time.
type typed struct {
	at         time.Duration
	host, line string
}

// transcript runs the commands, which may overlap, on two hosts with a cable
// between them, and returns what each wrote in the order in which they ended.
func transcript(t *testing.T, link string, commands ...typed) string {
	t.Helper()
	l, found := lab.Parse("two.yaml", fmt.Appendf(nil, `
nodes:
  h1: { kind: host, addr: 10.0.0.1/24 }
  h2: { kind: host, addr: [10.0.0.2/24, "2001:db8::2/64"] }
links:
  - { name: cable, endpoints: [h1, h2], %s }
`, link))
	if found.HasErrors() {
		t.Fatal(found)
	}
	plan, found := lab.NewPlan(l)
	if found.HasErrors() {
		t.Fatal(found)
	}
	network := lab.Build(plan, nil)
	var all strings.Builder
	run := func(c typed, after func()) {
		var out strings.Builder
		exit := 0
		network.Host(c.host).Start("shell", func(n *socket.Net) {
			time.Sleep(c.at)
			exit = shell.Run(n, shell.Streams{Stdin: strings.NewReader("hello\n"), Stdout: &out, Stderr: &out}, c.line)
		}, func(at sim.Time) {
			fmt.Fprintf(&all, "%s$ %s\n%s", c.host, c.line, out.String())
			if exit != 0 {
				fmt.Fprintf(&all, "[exit %d]\n", exit)
			}
			after()
		})
	}
	err := network.Kernel.RunVirtual(context.Background(), sim.Time(time.Hour), func() {
		if err := network.Start(0); err != nil {
			t.Error(err)
		}
		left := len(commands)
		for _, c := range commands {
			run(c, func() {
				if left--; left == 0 {
					network.Kernel.End()
				}
			})
		}
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func compare(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSocketsOfAConnection(t *testing.T) {
	got := transcript(
		t, "delay: 10ms",
		typed{0, "h2", "nc -l -v 5000"},
		typed{time.Second, "h1", "nc -w 3 -p 4000 h2 5000"},
		typed{500 * time.Millisecond, "h2", "ss -tl"},
		typed{2 * time.Second, "h1", "ss -tin"},
		typed{2 * time.Second, "h2", "ss -tano"},
		typed{4500 * time.Millisecond, "h1", "ss -tano"},
	)
	compare(t, got, `h2$ ss -tl
State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process
LISTEN 0      1            0.0.0.0:5000      0.0.0.0:*
h1$ ss -tin
State Recv-Q Send-Q Local Address:Port Peer Address:Port Process
ESTAB 0      0           10.0.0.1:4000     10.0.0.2:5000
	 ts sack cubic wscale:10,10 rto:237.5 rtt:37.5/20 ato:40 mss:1448 pmtu:1500 rcvmss:536 advmss:1448 cwnd:10 bytes_sent:6 bytes_acked:7 bytes_received:6 segs_out:4 segs_in:3 data_segs_out:1 data_segs_in:1 send 3089067bps lastsnd:960 lastrcv:940 lastack:940 pacing_rate 6178128bps delivery_rate 579200bps delivered:2 rcv_space:14480 rcv_ssthresh:64240 minrtt:20 snd_wnd:65536
h2$ ss -tano
State Recv-Q Send-Q Local Address:Port Peer Address:Port Process
ESTAB 0      0           10.0.0.2:5000     10.0.0.1:4000
h1$ nc -w 3 -p 4000 h2 5000
hello
h2$ nc -l -v 5000
Listening on 0.0.0.0 5000
Connection received on 10.0.0.1 4000
hello
h1$ ss -tano
State     Recv-Q Send-Q Local Address:Port Peer Address:Port Process
TIME-WAIT 0      0           10.0.0.1:4000     10.0.0.2:5000 timer:(timewait,59sec,0)
`)
}

func TestTimersOfUnansweredConnections(t *testing.T) {
	got := transcript(
		t, "delay: 10ms, loss: 100%",
		typed{0, "h1", "nc -w 2 h2 5000"},
		typed{500 * time.Millisecond, "h1", "ss -tano"},
	)
	compare(t, got, `h1$ ss -tano
State    Recv-Q Send-Q Local Address:Port  Peer Address:Port Process
SYN-SENT 0      1           10.0.0.1:42274     10.0.0.2:5000 timer:(on,500ms,0)
h1$ nc -w 2 h2 5000
nc: connect to h2 (10.0.0.2) port 5000 (tcp) timed out: Operation now in progress
[exit 1]
`)
}
