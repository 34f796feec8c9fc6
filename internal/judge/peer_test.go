package judge

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/shell"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/socket"
	"github.com/hopyard/hopyard/internal/uplink"
)

// patience is how long anything may take on the slowest machine; nothing is
// timed by it.
const patience = time.Minute

// greeting is what virtual hosts' commands have to read.
const greeting = "hello, Linux\n"

// lan is the lab of all tests. Linux is 10.77.1.2 and fd77:1::2 on sw, where the
// hub "outside" keeps its place free.
const lan = `
name: judge
nodes:
  h1: { kind: host, addr: [10.77.1.11/24, "fd77:1::11/64"], services: [echo] }
  h2: { kind: host, addr: [10.77.2.12/24, "fd77:2::12/64"] }
  h3: { kind: host, addr: 10.77.3.13/24 }
  r1: { kind: router, addr: { eth0: [10.77.1.1/24, "fd77:1::1/64"], eth1: [10.77.2.1/24, "fd77:2::1/64"], eth2: 10.77.3.1/24 } }
  sw: { kind: switch }
  outside: { kind: hub }
links:
  - h1-sw
  - { endpoints: ["r1:eth0", sw] }
  - { endpoints: ["r1:eth1", h2] }
  - { endpoints: ["r1:eth2", h3], mtu: 1400 }
  - outside-sw
`

// peer is a Linux network namespace that is plugged into a live lab.
type peer struct {
	t         *testing.T
	namespace string
	network   *lab.Network

	capture string // which of the captures is judged
	lossy   bool   // the path may lose, double and reorder
}

// unable ends a test that this machine cannot run. Where CI=true, nothing may be
// left out.
func unable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// newPeer makes a namespace with its own TAP device, plugs it into the lab and
// starts each line of commands, joined by &&, on the virtual host h1. The lab runs until the test
// ends; then its capture must be clean and all its frames given back.
func newPeer(t *testing.T, commands ...string) (*peer, []<-chan result) {
	t.Helper()
	var results []<-chan result
	p := newPeerWith(t, lan, func(p *peer) {
		for _, line := range commands {
			done := make(chan result, 1)
			results = append(results, done)
			p.network.Host("h1").Start(line, func(net *socket.Net) { done <- runLine(net, line) }, nil)
		}
	})
	return p, results
}

// runLine runs commands that are joined by &&.
func runLine(net *socket.Net, line string) result {
	var out bytes.Buffer
	exit := 0
	for command := range strings.SplitSeq(line, " && ") {
		if exit == 0 {
			exit = shell.Run(net, shell.Streams{Stdin: strings.NewReader(greeting), Stdout: &out, Stderr: &out}, command)
		}
	}
	return result{exit, out.String()}
}

// newPeerWith is newPeer for another lab, in whose kernel setUp runs first.
func newPeerWith(t *testing.T, text string, setUp func(p *peer)) *peer {
	t.Helper()
	needs(t)
	device, name, err := uplink.OpenTAP("")
	if err != nil {
		unable(t, "%v", err)
	}
	p := newNamespace(t)
	p.configure(name)

	l, found := lab.Parse("judge.yaml", []byte(text))
	if found.HasErrors() {
		t.Fatal(found)
	}
	plan, found := lab.NewPlan(l)
	if found.HasErrors() {
		t.Fatal(found)
	}
	rec := record.New()
	dir := t.TempDir()
	capture, err := record.NewPcapWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	p.network = lab.Build(plan, rec)
	rec.Attach(capture)
	p.capture = record.AllName
	p.run(device, setUp, func() {
		if err := rec.Close(); err != nil {
			t.Error(err)
		}
		p.judge(filepath.Join(dir, p.capture))
	})
	return p
}

// needs ends the test where the machine cannot run it.
func needs(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		unable(t, "makes network namespaces: needs root")
	}
	for _, tool := range []string{"ip", "ping", "arping", "traceroute", "nc", "curl", "tshark"} {
		if _, err := exec.LookPath(tool); err != nil {
			unable(t, "needs %s: %v", tool, err)
		}
	}
}

// newNamespace makes a namespace without a lab.
func newNamespace(t *testing.T) *peer {
	t.Helper()
	needs(t)
	p := &peer{t: t, namespace: "hopyard-" + strings.ToLower(rand.Text()[:12])}
	p.must("ip", "netns", "add", p.namespace)
	t.Cleanup(func() { p.must("ip", "netns", "del", p.namespace) })
	return p
}

// configure gives the TAP device its addresses in the namespace.
// Nothing but what a test does makes Linux send.
func (p *peer) configure(tap string) {
	p.t.Helper()
	p.must("ip", "link", "set", tap, "netns", p.namespace, "name", "lab0")
	inside := func(args ...string) {
		p.t.Helper()
		p.must("ip", append([]string{"netns", "exec", p.namespace}, args...)...)
	}
	// No search for routers, no duplicate detection, no multicast listener reports.
	inside("sh", "-c", "cd /proc/sys/net/ipv6/conf/lab0 && echo 0 >router_solicitations && echo 0 >accept_dad && echo 0 >accept_ra")
	inside("ip", "link", "set", "lo", "up")
	inside("ip", "link", "set", "lab0", "address", "02:00:00:00:77:02", "up")
	inside("ip", "address", "add", "10.77.1.2/24", "dev", "lab0")
	inside("ip", "address", "add", "fd77:1::2/64", "dev", "lab0", "nodad")
	inside("ip", "route", "add", "default", "via", "10.77.1.1")
	inside("ip", "-6", "route", "add", "default", "via", "fd77:1::1")
}

func (p *peer) must(name string, args ...string) {
	p.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		p.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// result is what came of a command.
type result struct {
	exit int
	out  string
}

// run plays the lab in the background.
func (p *peer) run(device uplink.Device, programs func(p *peer), after func()) {
	n := p.network
	ctx, stop := context.WithCancel(context.Background())
	ended, started := make(chan error, 1), make(chan error, 1)
	var up *uplink.Uplink
	setUp := func() {
		err := n.Start(0)
		up = p.attach(device)
		programs(p)
		started <- err
	}
	// What is on its way when the test ends, a probe of a neighbor say, is given back as its link is cut.
	cut := func() {
		for i := range n.Links {
			n.CutLink(n.Kernel.Now(), i, true)
		}
	}
	go func() { ended <- n.Kernel.RunLive(ctx, sim.Never, setUp, cut) }()
	p.t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, sim.ErrStopped) || strings.Contains(err.Error(), "\n") { // no second error joined to it
			p.t.Errorf("the lab ended: %v", err)
		}
		if err := up.Err(); err != nil || up.Drops() != 0 {
			p.t.Errorf("the TAP device: %v, %d frames dropped", err, up.Drops())
		}
		if lent := p.network.Pool.Lent(); lent != 0 {
			p.t.Errorf("%d frames were not given back", lent)
		}
		after()
	})
	if err := <-started; err != nil {
		p.t.Fatal(err)
	}
}

// attach plugs the device in where the hub "outside" is.
func (p *peer) attach(device uplink.Device) *uplink.Uplink {
	outside := p.network.Plan.Node("outside")
	port := p.network.Plan.Nodes[outside].Interfaces[0]
	return uplink.Attach(p.network.Nodes[outside].Hub.Origin(), p.network.Links[port.Link].End(port.End), p.network.Pool, device)
}

// judge has tshark look at every frame.
func (p *peer) judge(capture string) {
	mode := ""
	if p.lossy {
		mode = "loss"
	}
	out, err := exec.Command("../../scripts/judge-capture.sh", capture, mode).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "verdict CLEAN") {
		p.t.Errorf("the capture: %v\n%s", err, out)
	}
}

// linux runs a command in the namespace.
func (p *peer) linux(args ...string) result {
	p.t.Helper()
	return p.linuxWith("", args...)
}

func (p *peer) linuxWith(stdin string, args ...string) result {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", p.namespace}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		p.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return result{cmd.ProcessState.ExitCode(), string(out)}
}

// snmp is one of Linux's counters, as /proc/net/snmp names it ("Icmp", "InErrors").
func (p *peer) snmp(group, name string) string {
	p.t.Helper()
	var names []string
	for line := range strings.Lines(p.linux("cat", "/proc/net/snmp").out) {
		words := strings.Fields(line)
		if words[0] != group+":" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		for i := range names {
			if names[i] == name {
				return words[i]
			}
		}
	}
	p.t.Fatalf("/proc/net/snmp has no %s %s", group, name)
	return ""
}

// wait is the result of a virtual host's command.
func wait(t *testing.T, done <-chan result) result {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(patience):
		t.Fatal("a virtual host's command does not end")
		return result{}
	}
}

// expect holds an exit status and how often expressions are in the output.
func (r result) expect(t *testing.T, exit int, counts map[string]int) {
	t.Helper()
	if r.exit != exit {
		t.Errorf("exit status %d, want %d:\n%s", r.exit, exit, r.out)
	}
	for expression, want := range counts {
		if got := len(regexp.MustCompile("(?m)"+expression).FindAllString(r.out, -1)); got != want {
			t.Errorf("%s: %d times, want %d:\n%s", expression, got, want, r.out)
		}
	}
}
