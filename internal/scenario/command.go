package scenario

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/node"
	"github.com/hopyard/hopyard/internal/shell"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/socket"
)

// item is one entry of the lab's `run`.
type item struct {
	*lab.Run
	number int
	nodes  []int // in the plan
	expect *expectation
	load   *loadPlan // nil for a command
}

// title is what the report calls the item.
func (it *item) title() string {
	if it.Name != "" {
		return it.Name
	}
	return "run " + strconv.Itoa(it.number+1)
}

// program is the name of the command that the item runs.
func (it *item) program() string {
	name, _, _ := strings.Cut(strings.TrimSpace(it.Cmd), " ")
	return name
}

// What is kept of a command that is run again and again, or on very many nodes.
const (
	outputMax     = 1 << 20 // of one stream of one run of a command
	outputKeptMax = 8 << 20 // of all runs of an item
	executionsMax = 20_000  // of an item
)

// commandResult is what came of an item that is a command.
type commandResult struct {
	executions []*execution // in the order of their start
	times      int          // how often it was run
	unheld     int
	kept       int // bytes of output
	ping       pingValue
}

// execution is one run of a command on one node.
type execution struct {
	result *commandResult
	item   *item
	node   string
	proc   *sim.Proc
	stop   sim.Timer // when it is ended
	player *player

	at, end        sim.Time
	exit           int
	stdout, stderr capture
	ended          string // who ended it, or empty
	cut            bool   // its context had ended when it returned
	done           bool
	problems       []string // what was expected and did not come
	dropped        bool     // its output was not kept
}

// capture keeps what a program writes, up to a limit.
type capture struct {
	text []byte
	lost int
}

// Write implements io.Writer.
func (c *capture) Write(b []byte) (int, error) {
	room := min(outputMax-len(c.text), len(b))
	c.text = append(c.text, b[:room]...)
	c.lost += len(b) - room
	return len(b), nil
}

// String is the output, with a note where it was cut.
func (c *capture) String() string {
	if c.lost == 0 {
		return string(c.text)
	}
	return fmt.Sprintf("%s\n... (%s more not kept)\n", c.text, count(c.lost, "byte"))
}

// schedule starts a command on one node, at its time and again.
type schedule struct {
	player *player
	item   *item
	result *commandResult
	node   int
	timer  sim.Timer
}

// Fire starts the command.
func (s *schedule) Fire(now sim.Time) {
	s.player.start(now, s)
	if next := now.Add(s.item.Every); s.item.Every > 0 && (s.item.For == 0 || next < s.item.end()) {
		s.player.origin.Set(&s.timer, next)
		return
	}
	s.player.finished(now)
}

// end is when the item's `for` is over; Never without one.
func (it *item) end() sim.Time {
	if it.For == 0 {
		return sim.Never
	}
	return sim.Time(it.At).Add(it.For)
}

// start runs an item's command on a node.
func (p *player) start(now sim.Time, s *schedule) {
	host := p.network.Nodes[s.node].Host
	x := &execution{result: s.result, item: s.item, node: host.Name(), player: p, at: now}
	s.result.times++
	if len(s.result.executions) < executionsMax {
		s.result.executions = append(s.result.executions, x)
	}
	p.running++
	p.open++
	x.run(host)
	x.stop.Init((*stopper)(x))
	p.origin.Set(&x.stop, s.item.end())
}

func (x *execution) run(host *node.Host) {
	line := x.item.Cmd
	x.proc = host.Start(x.item.program(), func(n *socket.Net) {
		x.exit = shell.Run(n, shell.Streams{Stdin: strings.NewReader(x.item.Stdin), Stdout: &x.stdout, Stderr: &x.stderr}, line)
		x.cut = n.Proc().Context().Err() != nil
	}, x.finish)
}

// stopper ends a command whose time is over.
type stopper execution

// Fire asks the program to end.
func (s *stopper) Fire(sim.Time) {
	x := (*execution)(s)
	x.ended = "its time (for: " + seconds(x.item.For) + ") was over"
	x.proc.Stop(sim.ErrEnded)
}

// finish notes that the program has ended and judges it.
func (x *execution) finish(now sim.Time) {
	p := x.player
	p.origin.Stop(&x.stop)
	x.end, x.done = now, true
	if x.cut && x.ended == "" {
		x.ended = "the lab was over"
	}
	x.problems = x.item.expect.judge(x)
	r := x.result
	if len(x.problems) > 0 {
		r.unheld++
	}
	if isPing(x.item.Run) {
		r.ping.add(string(x.stdout.text))
	}
	if r.kept += len(x.stdout.text) + len(x.stderr.text); r.kept > outputKeptMax && len(x.problems) == 0 {
		x.stdout, x.stderr, x.dropped = capture{}, capture{}, true
	}
	x.proc = nil
	p.running--
	p.finished(now)
}

// took is how long the command ran.
func (x *execution) took() sim.Duration { return x.end.Sub(x.at) }

// pingTransmitted is the line of ping's summary that counts.
var (
	pingTransmitted = regexp.MustCompile(`(?m)^(\d+) packets transmitted, (\d+) received`)
	pingTimes       = regexp.MustCompile(`(?m)^rtt min/avg/max/mdev = ([0-9.]+)/([0-9.]+)/([0-9.]+)/`)
)

// add counts what one run of ping says in its summary.
func (v *pingValue) add(stdout string) {
	m := pingTransmitted.FindStringSubmatch(stdout)
	if m == nil {
		return
	}
	sent, _ := strconv.Atoi(m[1])
	received, _ := strconv.Atoi(m[2])
	if m := pingTimes.FindStringSubmatch(stdout); m != nil && received > 0 {
		low, mean, high := milliseconds(m[1]), milliseconds(m[2]), milliseconds(m[3])
		if v.Received == 0 || low < v.Min {
			v.Min = low
		}
		v.Max = max(v.Max, high)
		v.sum += mean * time.Duration(received)
		v.timed += received
		v.Avg = v.sum / time.Duration(v.timed)
	}
	v.Sent += sent
	v.Received += received
	v.Lost = v.Sent - v.Received
}

func milliseconds(s string) time.Duration {
	f, _ := strconv.ParseFloat(s, 64)
	return time.Duration(f*1000+0.5) * time.Microsecond
}
