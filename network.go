package hopyard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/shell"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/socket"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/tcp"
)

// MustParse is Parse for a lab that is part of the program; it panics where
// something is wrong with it.
func MustParse(text string) *Lab {
	l, err := Parse("lab.yaml", []byte(text))
	if err != nil {
		panic(err)
	}
	return l
}

// PlayOptions are how a program runs in a network. The zero PlayOptions are
// virtual time and no captures.
type PlayOptions struct {
	Seed    uint64 // instead of the lab's; 0: the lab's
	Live    bool   // by the wall clock
	PcapDir string // write captures into this folder; "": none
}

// lingering is how long the network goes on when the program has ended, so that
// what it sent last arrives.
const lingering = time.Second

// Play brings the network of the lab up and runs program in it; timeline and
// checks of the lab stay out. The program uses the time package as ever: in virtual
// time that is the network's clock, which jumps ahead when all goroutines wait.
//
// The error is program's, or tells why the run failed. Goroutines that program
// starts must end when their sockets are closed, which happens when program returns.
// Play may be called inside a bubble of testing/synctest, and then uses it.
func (l *Lab) Play(ctx context.Context, o PlayOptions, program func(n *Network) error) error {
	plan := l.plan
	if o.Seed != 0 && o.Seed != l.config.Seed {
		config := *l.config
		config.Seed = o.Seed
		reseeded := *plan
		reseeded.Lab = &config
		plan = &reseeded
	}
	rec := record.New()
	n := &Network{network: lab.Build(plan, rec), hosts: map[string]*Host{}, gate: make(chan struct{}, 1)}
	if o.PcapDir != "" {
		w, err := record.NewPcapWriter(o.PcapDir)
		if err != nil {
			return err
		}
		rec.Attach(w)
	}
	var failed, started error
	k := n.network.Kernel
	setUp := func() {
		if started = n.network.Start(0); started != nil {
			k.End()
			return
		}
		k.NewOrigin("program").Go("program", func(p *sim.Proc) {
			n.proc, n.caller = p, p.NewCaller()
			failed = program(n)
			for _, h := range n.inOrder() {
				h.client.CloseIdleConnections()
			}
		}, n.end)
	}
	var err error
	if o.Live {
		err = k.RunLive(ctx, sim.Never, setUp, nil)
	} else {
		err = k.RunVirtual(ctx, sim.Never, setUp, nil)
	}
	return errors.Join(started, failed, err, rec.Close())
}

// Network is a network that runs, as the program in it sees it. Its methods and
// those of its hosts may be called by any goroutine of the program.
type Network struct {
	network *lab.Network
	proc    *sim.Proc

	gate   chan struct{} // one request to the kernel at a time
	caller *sim.Caller
	hosts  map[string]*Host // guarded by gate
}

// end closes what the program left open, host by host.
func (n *Network) end(now sim.Time) {
	for _, h := range n.inOrder() {
		h.net.Proc().Stop(sim.ErrEnded)
	}
	n.network.Kernel.EndAt(now.Add(lingering))
}

func (n *Network) inOrder() []*Host {
	var hosts []*Host
	for _, h := range n.hosts {
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, func(a, b *Host) int { return strings.Compare(a.name, b.name) })
	return hosts
}

// ask runs f in the kernel and waits for it.
func (n *Network) ask(f func(now sim.Time)) {
	n.gate <- struct{}{}
	defer func() { <-n.gate }()
	n.caller.Call(func(now sim.Time) {
		f(now)
		n.caller.Return()
	})
}

// Context ends when the run is to stop.
func (n *Network) Context() context.Context { return n.proc.Context() }

// Host is the host or router of that name. It panics where the lab has none, as
// a program that names its own lab's hosts can do nothing else.
func (n *Network) Host(name string) *Host {
	machine := n.network.Host(name)
	if machine == nil {
		var names []string
		for i := range n.network.Plan.Nodes {
			if n.network.Nodes[i].Host != nil {
				names = append(names, n.network.Plan.Nodes[i].Name)
			}
		}
		hint := ""
		if near := diag.Nearest(name, names); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		panic(fmt.Sprintf("hopyard: the lab has no host %q%s", name, hint))
	}
	var h *Host
	n.ask(func(sim.Time) {
		if h = n.hosts[name]; h != nil {
			return
		}
		h = &Host{name: name, network: n}
		h.client = &http.Client{Transport: &http.Transport{DialContext: h.Dial}}
		h.net = machine.Open("program")
		n.hosts[name] = h
	})
	return h
}

// Cut cuts a link, by its name in the lab; Mend mends it. They panic where the
// lab has no such link.
func (n *Network) Cut(link string) { n.cut(link, true) }

// Mend mends a link that was cut.
func (n *Network) Mend(link string) { n.cut(link, false) }

func (n *Network) cut(name string, cut bool) {
	var names []string
	for i := range n.network.Plan.Links {
		if k := &n.network.Plan.Links[i]; k.Name == name {
			n.ask(func(now sim.Time) { n.network.CutLink(now, i, cut) })
			return
		}
		names = append(names, n.network.Plan.Links[i].Name)
	}
	panic(fmt.Sprintf("hopyard: the lab has no link %q; it has %s", name, strings.Join(names, ", ")))
}

// Fingerprint is a digest of all frames so far, with their places and times: two
// runs with the same are the same.
func (n *Network) Fingerprint() (digest string) {
	n.ask(func(sim.Time) { digest = n.network.Recorder.Fingerprint() })
	return digest
}

// Host is a machine of the network, with what a program on it may do.
type Host struct {
	name    string
	network *Network
	net     *socket.Net
	client  *http.Client
}

// Name is what the lab calls the machine.
func (h *Host) Name() string { return h.name }

// Dial opens a connection as net.Dialer.DialContext does. network is tcp or udp,
// or one of these with 4 or 6; hosts may be named as in the lab. Errors are Linux's, in
// a *net.OpError.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return h.net.Dial(ctx, network, address)
}

// Listen opens a TCP listener as net.Listen does.
func (h *Host) Listen(network, address string) (net.Listener, error) {
	return h.net.Listen(network, address)
}

// ListenPacket opens a UDP socket as net.ListenPacket does.
func (h *Host) ListenPacket(network, address string) (net.PacketConn, error) {
	return h.net.ListenPacket(network, address)
}

// LookupHost finds the addresses of a name.
func (h *Host) LookupHost(name string) ([]netip.Addr, error) { return h.net.LookupHost(name) }

// HTTPClient is a web client on the machine. It keeps connections alive, as
// http.DefaultClient does.
func (h *Host) HTTPClient() *http.Client { return h.client }

// Run runs a line of the machine's shell ("ping -c 1 h2") and returns what it
// printed and its exit status.
func (h *Host) Run(line string) (output string, exit int) {
	var out strings.Builder
	exit = shell.Run(h.net, shell.Streams{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out}, line)
	return out.String(), exit
}

// TCPInfo is the state of a TCP connection (struct tcp_info).
type TCPInfo = tcp.Info

// Socket is a TCP socket of a machine.
type Socket struct {
	Local, Remote netip.AddrPort // Remote is zero for a listener
	Info          TCPInfo        // only State for a listener
}

// Sockets lists the machine's TCP sockets by local and remote end: listeners,
// connections, and those that live on without a program.
func (h *Host) Sockets() (all []Socket) {
	h.net.Inspect(func(now sim.Time, s *stack.Stack) {
		for _, t := range s.TCPSockets() {
			e := Socket{Local: t.Local(), Remote: t.Remote(), Info: TCPInfo{State: tcp.Listen}}
			if c := t.Conn(); c != nil {
				e.Info = c.Info(now)
			}
			all = append(all, e)
		}
	})
	return all
}

// Info is the state of a connection that a Host opened or took; false where conn
// is another.
func Info(conn net.Conn) (TCPInfo, bool) {
	c, ok := conn.(*socket.TCPConn)
	if !ok {
		return TCPInfo{}, false
	}
	i, err := c.Info()
	return i, err == nil
}
