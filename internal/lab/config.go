package lab

import (
	"net/netip"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// The types below are the lab file: the reader fills them, the JSON schema is
// generated from them, and a program may build them by hand. The tag `lab`
// holds the key and its other spellings, `doc` what editors show, `example` a
// value. A field named Pos is where the value was read, for later messages.

// Lab is a network, what happens on it and what must hold.
type Lab struct {
	Name     string       `lab:"name" doc:"What the lab is called." example:"first"`
	Seed     uint64       `lab:"seed" doc:"Number that all random draws come from; the same seed gives the same run. Default 1." example:"7"`
	Duration sim.Duration `lab:"duration" doc:"Virtual time that the lab runs. Default: until everything that was asked for is done." example:"2m"`
	IPv6     IPv6         `lab:"ipv6" doc:"Whether nodes speak IPv6 unless they say otherwise: true (addresses from the pool), slaac (hosts make their own from router advertisements), false (default)."`
	Routing  Routing      `lab:"routing" doc:"How routes come about: auto (default, computed over the whole lab) or none (only those given)."`
	Defaults Defaults     `lab:"defaults" doc:"Settings for all things of a kind that do not say otherwise."`
	Pools    Pools        `lab:"pools" doc:"Where addresses are drawn from that are not given."`
	Groups   []Group      `lab:"groups" doc:"A name for several nodes, and settings that they share."`
	Nodes    []Node       `lab:"nodes" doc:"The machines: hosts, routers, switches and hubs."`
	Links    []Link       `lab:"links" doc:"The cables between them."`
	Run      []Run        `lab:"run" doc:"What people do: commands and generated traffic."`
	Events   []Event      `lab:"events" doc:"What goes wrong, and when it is mended."`
	Capture  Capture      `lab:"capture" doc:"What is written to a capture file. Everything is recorded anyway."`
	Validate []Check      `lab:"validate,checks" doc:"What must hold when the lab is done."`

	Pos     diag.Position // the file
	sources *sources      // texts that positions point into; nil for a lab built by a program
}

// IPv6 says whether and how a node gets IPv6 addresses.
type IPv6 string

const (
	IPv6Unset IPv6 = ""      // as the group, else the lab, says
	IPv6Off   IPv6 = "false" // none
	IPv6On    IPv6 = "true"  // link-local, and an address drawn from Pools.IPv6
	IPv6SLAAC IPv6 = "slaac" // link-local, and one made from router advertisements (RFC 4862)
)

// Routing says where routes come from beyond the connected ones.
type Routing string

const (
	RoutingAuto Routing = "auto" // computed over the whole lab; given routes win
	RoutingNone Routing = "none" // only those given
)

// Kind is a node's nature.
type Kind string

// The kinds there are.
const (
	Host   Kind = "host"
	Router Kind = "router"
	Switch Kind = "switch"
	Hub    Kind = "hub"
)

// Defaults are settings for all things of a kind that do not say otherwise.
type Defaults struct {
	Link Impairments `lab:"link,links" doc:"Settings of every link that does not say otherwise."`
}

// Pools is where addresses are drawn from; an invalid prefix means the default.
type Pools struct {
	Pos   diag.Position `lab:"-"`
	LAN   netip.Prefix  `lab:"lan" doc:"For segments with hosts, a /24 each or larger where more are needed. Default 10.0.0.0/9." example:"192.168.0.0/16"`
	Cable netip.Prefix  `lab:"cable,p2p" doc:"For cables between two machines and nothing else, a /30 each. Default 10.128.0.0/9." example:"172.16.0.0/12"`
	IPv6  netip.Prefix  `lab:"ipv6,v6" doc:"For segments where IPv6 is asked for, a /64 each. Default fd00::/48." example:"fd12:3456:789a::/48"`
}

// Group is a name for several nodes and the settings that they share.
type Group struct {
	Name string        `lab:"-"`
	Pos  diag.Position `lab:"-"`
	Settings
}

// Node is one machine. What it does not set is taken from its group.
type Node struct {
	Name  string        `lab:"-"`
	Pos   diag.Position `lab:"-"` // its name in the file
	Group string        `lab:"group" doc:"The group whose settings this node shares."`
	Settings
}

// Settings is what can be said of a node or of a group of nodes.
type Settings struct {
	Kind     Kind         `lab:"kind,type,device" doc:"host, router, switch or hub."`
	Addr     []Addresses  `lab:"addr,addrs,address,addresses,ip" doc:"Address with prefix length for the only interface, or a map from interface to one or several. What is not given is drawn from a pool." example:"10.0.0.1/24"`
	MAC      []MACAddress `lab:"mac" doc:"MAC address of the only interface, or a map from interface to one. Default: numbered from 02:00:00:00:00:01." example:"02:00:00:00:00:01"`
	Gateway  []netip.Addr `lab:"gateway,gw" doc:"Default router; one for each of IPv4 and IPv6. Default: computed." example:"10.0.0.254"`
	Routes   []Route      `lab:"routes" doc:"Routes beside the computed ones."`
	IPv6     IPv6         `lab:"ipv6" doc:"true (address from the pool), slaac (made from router advertisements) or false."`
	DAD      *bool        `lab:"dad" doc:"Probe for IPv4 address conflicts before use (RFC 5227). Default false, as in Linux."`
	RAdv     *bool        `lab:"radv" doc:"Whether a router sends IPv6 router advertisements. Default: when a host on its segments uses slaac."`
	Sysctl   []Sysctl     `lab:"sysctl,sysctls" doc:"Kernel settings by their Linux names."`
	Services []Service    `lab:"services,service" doc:"What runs on it, over UDP and TCP: echo (RFC 862), discard (RFC 863)."`
}

// Addresses are those of one interface, in the order given.
type Addresses struct {
	Interface string // "" for the only one
	Prefixes  []netip.Prefix
	SLAAC     bool            // also make one from router advertisements
	Pos       []diag.Position // one for each of Prefixes
}

// MACAddress is that of one interface.
type MACAddress struct {
	Interface string // "" for the only one
	MAC       wire.MAC
	Pos       diag.Position
}

// RouteType is Linux's route type.
type RouteType string

// The route types there are; "" is Unicast.
const (
	Unicast     RouteType = "unicast"
	Blackhole   RouteType = "blackhole"   // drop in silence
	Unreachable RouteType = "unreachable" // answer with ICMP host unreachable
	Prohibit    RouteType = "prohibit"    // answer with ICMP administratively prohibited
)

// Route is one given route, as `ip route add` takes it.
type Route struct {
	Pos    diag.Position `lab:"-"`
	To     netip.Prefix  `lab:"to,dst,destination" doc:"Where to: a prefix, an address or default." example:"10.2.0.0/16"`
	Via    netip.Addr    `lab:"via,nexthop,next-hop" doc:"The next router." example:"10.0.0.254"`
	Dev    string        `lab:"dev" doc:"The interface to leave by. Default: the one that Via is on." example:"eth0"`
	Metric uint32        `lab:"metric" doc:"Preference among routes to the same prefix; lower wins. Default 0."`
	Type   RouteType     `lab:"type" doc:"unicast (default), blackhole, unreachable or prohibit."`
}

// Sysctl is one kernel setting.
type Sysctl struct {
	Name, Value string
	Pos         diag.Position
}

// Service is a program that a node runs from the start.
type Service struct {
	Name string        `lab:"-"` // echo, discard
	Pos  diag.Position `lab:"-"`
	Port uint16        `lab:"port" doc:"UDP and TCP port. Default: the service's own." example:"7"`
}

// End is where a link is plugged in.
type End struct {
	Node      string
	Interface string // "" for the next free one
	Pos       diag.Position
}

// Link is a cable between two ends, or a shared segment between more.
type Link struct {
	Pos  diag.Position `lab:"-"`
	Name string        `lab:"name" doc:"Default: its nodes with dashes between, as in h1-sw1."`
	Ends []End         `lab:"endpoints,ends,nodes" doc:"What it joins: node or node:interface; two for a cable, more for a shared segment." example:"[\"h1:eth0\", \"sw1:1\"]"`
	Impairments

	short string // h1-sw1 as written, until the nodes are known
}

// Impairments are what a link does to frames. Each is for both directions or
// apart: { a->b: .., b->a: .. }, with a and b, or the nodes' names.
type Impairments struct {
	Rate      Directed[Rate]         `lab:"rate,bandwidth" doc:"Bits a second. Default: unlimited." example:"100mbit"`
	Delay     Directed[sim.Duration] `lab:"delay,latency" doc:"One way. Default 0." example:"10ms"`
	Jitter    Directed[sim.Duration] `lab:"jitter" doc:"Largest random addition to or subtraction from the delay." example:"1ms"`
	Loss      Directed[Loss]         `lab:"loss,packet_loss,packet-loss" doc:"Share of frames that are lost, or { rate, burst }." example:"1%"`
	Duplicate Directed[Probability]  `lab:"duplicate,duplication" doc:"Share of frames that arrive twice." example:"0.1%"`
	Reorder   Directed[Probability]  `lab:"reorder,reordering" doc:"Share of frames that overtake those before them." example:"1%"`
	Corrupt   Directed[Probability]  `lab:"corrupt,corruption" doc:"Share of frames in which a bit is flipped." example:"0.1%"`
	Queue     Directed[Queue]        `lab:"queue,buffer,limit" doc:"How much waits before the rate: packets or bytes. Default 1000p." example:"64KiB"`
	MTU       Directed[MTU]          `lab:"mtu" doc:"Largest IP packet in bytes. Default 1500." example:"1400"`
}

// Directed is a value for the two directions of a cable. The zero Directed is
// "not said"; Both makes one that holds both ways.
type Directed[T any] struct {
	Forward, Backward       T    // first end to second, second to first
	ForwardSet, BackwardSet bool // which of them were said
}

// Both is one value for both directions.
func Both[T any](v T) Directed[T] { return Directed[T]{v, v, true, true} }

// Rate is in bits a second.
type Rate int64

// Probability is between 0 and 1.
type Probability float64

// Loss is a share of frames that are lost.
type Loss struct {
	Rate  Probability `lab:"rate" doc:"Share of frames that are lost." example:"1%"`
	Burst float64     `lab:"burst" doc:"Mean number of frames lost in a row. Default 1: each on its own." example:"5"`
}

// MTU is in bytes; it alone may be given without a unit, for it has no other.
type MTU int

// Queue is a limit in packets, in bytes or both; 0 is no limit of that kind.
type Queue struct{ Packets, Bytes int }

// Run is something that people do: a command or generated traffic.
type Run struct {
	Pos    diag.Position `lab:"-"`
	Name   string        `lab:"name" doc:"What the report and the checks call it."`
	At     sim.Duration  `lab:"at" doc:"When, since the start. Default 0s." example:"1s"`
	Every  sim.Duration  `lab:"every" doc:"Again and again at this interval." example:"1s"`
	For    sim.Duration  `lab:"for" doc:"How long it is repeated, or when a command that does not end is ended." example:"10s"`
	Node   string        `lab:"node,on" doc:"The node, or the group of nodes, that does it."`
	Cmd    string        `lab:"cmd,command,exec" doc:"A command line, as one would type it there." example:"ping -c 3 h2"`
	Stdin  string        `lab:"stdin" doc:"What the command reads."`
	Expect *Expect       `lab:"expect" doc:"What must come of it."`
	Load   *Load         `lab:"load" doc:"Traffic to generate instead of a command."`
}

// Expect is what must come of a command. A text that starts with ~ is a regular
// expression to be found; any other must be the whole output, but for spaces at
// its ends.
type Expect struct {
	Pos    diag.Position `lab:"-"`
	Exit   *int          `lab:"exit" doc:"Exit status." example:"0"`
	Stdout string        `lab:"stdout" doc:"Output: ~ and a regular expression to be found, or the whole text." example:"~0% packet loss"`
	Stderr string        `lab:"stderr" doc:"Error output, in the same manner."`
}

// Load is generated traffic. One of UDP, TCP and Ping is given.
type Load struct {
	Pos     diag.Position `lab:"-"`
	UDP     string        `lab:"udp" doc:"Send UDP to node:port or address:port." example:"server:7"`
	TCP     string        `lab:"tcp" doc:"Open a connection to node:port or address:port, send, and close it." example:"server:9"`
	Ping    string        `lab:"ping,icmp" doc:"Send echo requests to a node or an address." example:"server"`
	Rate    Frequency     `lab:"rate" doc:"How many a time unit. Default 1/s." example:"10/s"`
	Size    Bytes         `lab:"size" doc:"Payload of each packet, default 56B; of tcp: how much is sent in all, default as much as for allows." example:"100B"`
	For     sim.Duration  `lab:"for" doc:"How long. Default: to the lab's end." example:"10s"`
	Poisson bool          `lab:"poisson" doc:"Draw the gaps at random (exponential) instead of sending evenly."`
}

// Frequency is in times a second.
type Frequency float64

// Bytes is a size.
type Bytes int64

// Event is something that goes wrong, or is mended. One of Fail, Recover and
// Link with Set or Lose is given.
type Event struct {
	Pos     diag.Position `lab:"-"`
	Name    string        `lab:"name" doc:"What the report calls it."`
	At      sim.Duration  `lab:"at" doc:"When, since the start." example:"30s"`
	Fail    string        `lab:"fail,down" doc:"The node or link that stops."`
	Recover string        `lab:"recover,up" doc:"The node or link that works again."`
	Link    string        `lab:"link" doc:"The link whose settings change."`
	Set     Impairments   `lab:"set" doc:"Its new settings; others stay."`
	Lose    string        `lab:"lose" doc:"The link loses the next packets that these words choose, as in frames()." example:"tcp syn from h1"`
	Count   int           `lab:"count" doc:"How many are lost. Default 1." example:"2"`
	For     sim.Duration  `lab:"for" doc:"How long; then it is undone. Default: for good." example:"10s"`
}

// Capture says what is written to a capture file.
type Capture struct {
	Pos   diag.Position `lab:"-"`
	Links []string      `lab:"links,link" doc:"Only these links. Default: all."`
	File  string        `lab:"file" doc:"Where to, beside the lab." example:"client.pcapng"`
}

// Check is something that must hold when the lab is done.
type Check struct {
	Pos    diag.Position `lab:"-"` // its expression in the file
	Name   string        `lab:"-"`
	Expect string        `lab:"expect,check" doc:"The expression that must be true." example:"run[\"ping\"].exit == 0"`
	Points float64       `lab:"points" doc:"What it counts. Default 1."`
	Fail   string        `lab:"fail,hint" doc:"What to tell when it is not."`
}
