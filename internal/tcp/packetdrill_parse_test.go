package tcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// drillScript is a script taken apart.
type drillScript struct {
	file         string
	tolerance    sim.Duration
	toleranceSet bool
	tick         sim.Duration // of timestamps; 0: their values are not checked
	events       []drillEvent
}

type drillKind int

const (
	drillInject drillKind = iota
	drillExpect
	drillUnreach
	drillCall
	drillCommand
	drillCode
)

// drillEvent is one event and when it is to happen.
type drillEvent struct {
	line     int
	kind     drillKind
	relative bool
	anyTime  bool
	blocking bool // from...to
	from, to sim.Duration
	text     string
	packet   *drillPacket
	mtu      int
	errno    syscall.Errno

	name  string
	args  []string
	want  string
	errIs string
}

// drillPacket is a segment as a script writes it.
type drillPacket struct {
	ecn        string
	flags      wire.TCPFlags
	seq, ack   uint32
	length     int
	window     int
	hasWindow  bool
	options    []string
	anyOptions bool
}

var (
	drillComment = regexp.MustCompile(`(?s)//[^\n]*|/\*.*?\*/|^#[^\n]*|\n#[^\n]*`)
	drillOption  = regexp.MustCompile(`^--([a-z_]+)=(.*)$`)
	drillTime    = regexp.MustCompile(`^(\*|\+?[0-9]*\.?[0-9]+)(?:(~|\.\.\.)(\+?[0-9]*\.?[0-9]+))?(?:\s+|$)`)
	drillTCP     = regexp.MustCompile(`^(?:\[(ect0|ect1|ce|noecn)\]\s*)?([SFRPEW.]+)\s+(\d+):(\d+)\((\d+)\)(?:\s+ack\s+(\d+))?(?:\s+win\s+(\d+))?\s*(?:<(.*)>)?$`)
	drillICMP    = regexp.MustCompile(`^icmp unreachable (\w+)(?: mtu (\d+))?\s*\[(\d+):(\d+)\((\d+)\)\]$`)
	drillSyscall = regexp.MustCompile(`(?s)^(\w+)\s*\((.*)\)\s*=\s*(-?\w+|\?)(?:\s+(E\w+))?\s*(?:\([^)]*\))?$`)
)

// parseDrill takes a script apart. What it does not know is an error with file and line.
func parseDrill(file, text string) (*drillScript, error) {
	s := &drillScript{file: file, tolerance: 4 * time.Millisecond}
	text = drillComment.ReplaceAllStringFunc(text, func(c string) string { return strings.Repeat("\n", strings.Count(c, "\n")) })
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		number := i + 1
		line := strings.TrimSpace(lines[i])
		for _, mark := range [][2]string{{"`", "`"}, {"%{", "}%"}} { // may go over many lines
			start := strings.Index(line, mark[0])
			for start >= 0 && !strings.Contains(line[start+len(mark[0]):], mark[1]) && i+1 < len(lines) {
				i++
				line += "\n" + strings.TrimSpace(lines[i])
			}
		}
		for strings.Count(line, "(") > strings.Count(line, ")") && i+1 < len(lines) {
			i++
			line += " " + strings.TrimSpace(lines[i])
		}
		if line == "" {
			continue
		}
		if err := s.line(number, line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, number, err)
		}
	}
	return s, nil
}

func (s *drillScript) line(number int, line string) error {
	if m := drillOption.FindStringSubmatch(line); m != nil {
		return s.option(m[1], m[2])
	}
	e := drillEvent{line: number, relative: true}
	if m := drillTime.FindStringSubmatch(line); m != nil {
		line = line[len(m[0]):]
		e.anyTime, e.relative = m[1] == "*", m[1][0] == '+'
		e.from = drillSeconds(m[1])
		e.to = e.from
		if m[2] != "" {
			e.to, e.blocking = drillSeconds(m[3]), m[2] == "..."
		}
		if e.to < e.from {
			return errors.New("the time ends before it starts")
		}
	} else if line[0] != '`' && !strings.HasPrefix(line, "%{") {
		return fmt.Errorf("no time before %q", line)
	}
	e.text = line
	if err := e.parse(line); err != nil {
		return err
	}
	s.events = append(s.events, e)
	return nil
}

func drillSeconds(text string) sim.Duration {
	if text == "*" {
		return 0
	}
	f, err := time.ParseDuration(strings.TrimPrefix(text, "+") + "s")
	if err != nil {
		panic(err) // drillTime has seen to it
	}
	return f
}

func (s *drillScript) option(name, value string) error {
	n, err := strconv.Atoi(value)
	switch name {
	case "tolerance_usecs":
		s.tolerance, s.toleranceSet = sim.Duration(n)*1000, true
	case "tcp_ts_tick_usecs":
		s.tick = sim.Duration(n) * 1000
	default:
		return fmt.Errorf("option --%s is not supported", name)
	}
	return err
}

func (e *drillEvent) parse(line string) (err error) {
	switch {
	case strings.HasPrefix(line, "`"):
		e.kind, e.text = drillCommand, strings.Trim(line, "`")
	case strings.HasPrefix(line, "%{"):
		e.kind, e.text = drillCode, strings.TrimSuffix(strings.TrimPrefix(line, "%{"), "}%")
	case strings.HasPrefix(line, "< icmp"):
		e.kind = drillUnreach
		return e.parseICMP(strings.TrimSpace(line[1:]))
	case strings.HasPrefix(line, "<"):
		e.kind = drillInject
		if e.packet, err = parseDrillPacket(strings.TrimSpace(line[1:])); err == nil && !e.packet.hasWindow {
			return errors.New("a segment of the peer needs win")
		}
	case strings.HasPrefix(line, ">"):
		e.kind = drillExpect
		e.packet, err = parseDrillPacket(strings.TrimSpace(line[1:]))
	default:
		m := drillSyscall.FindStringSubmatch(line)
		if m == nil {
			return fmt.Errorf("not supported: %q", line)
		}
		e.kind, e.name, e.args, e.want, e.errIs = drillCall, m[1], splitDrill(m[2]), m[3], m[4]
	}
	return err
}

func (e *drillEvent) parseICMP(line string) error {
	m := drillICMP.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("not supported: %q", line)
	}
	seq, _ := strconv.ParseUint(m[3], 10, 32) // digits
	e.packet = &drillPacket{seq: uint32(seq)}
	switch m[1] {
	case "frag_needed":
		e.mtu, _ = strconv.Atoi(m[2])
	case "host_unreachable":
		e.errno = syscall.EHOSTUNREACH
	case "net_unreachable":
		e.errno = syscall.ENETUNREACH
	case "port_unreachable":
		e.errno = syscall.ECONNREFUSED
	default:
		return fmt.Errorf("icmp unreachable %s is not supported", m[1])
	}
	return nil
}

// splitDrill splits at the commas that are in no bracket.
func splitDrill(text string) (parts []string) {
	depth, start := 0, 0
	for i, r := range text {
		switch {
		case strings.ContainsRune("([{", r):
			depth++
		case strings.ContainsRune(")]}", r):
			depth--
		case r == ',' && depth == 0:
			parts = append(parts, strings.TrimSpace(text[start:i]))
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(text[start:]))
}

var drillFlags = map[rune]wire.TCPFlags{
	'S': wire.TCPSyn, 'F': wire.TCPFin, 'R': wire.TCPRst, 'P': wire.TCPPsh, '.': wire.TCPAck, 'E': wire.TCPEce, 'W': wire.TCPCwr,
}

func parseDrillPacket(text string) (*drillPacket, error) {
	m := drillTCP.FindStringSubmatch(text)
	if m == nil {
		return nil, fmt.Errorf("not a segment that is supported: %q", text)
	}
	p := &drillPacket{ecn: m[1], hasWindow: m[7] != ""}
	for _, r := range m[2] {
		p.flags |= drillFlags[r]
	}
	var n [5]uint64
	for i, digits := range []string{m[3], m[4], m[5], m[6], m[7]} {
		if digits == "" {
			continue
		}
		v, err := strconv.ParseUint(digits, 10, 32)
		if err != nil {
			return nil, err
		}
		n[i] = v
	}
	p.seq, p.length, p.ack, p.window = uint32(n[0]), int(n[2]), uint32(n[3]), int(n[4])
	if uint32(n[1])-p.seq != uint32(p.length) {
		return nil, fmt.Errorf("%s:%s is not %d bytes", m[3], m[4], p.length)
	}
	if p.flags.Has(wire.TCPAck) != (m[6] != "") {
		return nil, errors.New("the flag . and ack go together")
	}
	switch m[8] {
	case "":
	case "...":
		p.anyOptions = true
	default:
		p.options = splitDrill(m[8])
	}
	return p, nil
}

func (p *drillPacket) showOptions() string { return strings.Join(p.options, ",") }

// buildOptions writes the options of a segment of the peer.
func (d *drill) buildOptions(p *drillPacket) (b []byte, err error) {
	for _, o := range p.options {
		word := strings.FieldsFunc(o, func(r rune) bool { return r == ' ' || r == ':' })
		n := make([]uint32, len(word))
		for i, w := range word {
			v, err := strconv.ParseUint(w, 10, 32)
			if err == nil {
				n[i] = uint32(v)
			}
		}
		switch {
		case o == "nop":
			b = append(b, byte(wire.TCPOptionNop))
		case o == "eol":
			b = append(b, byte(wire.TCPOptionEnd))
		case o == "sackOK":
			b = wire.AppendSACKPermitted(b)
		case word[0] == "mss" && len(word) == 2:
			b = wire.AppendMSS(b, uint16(n[1]))
		case word[0] == "wscale" && len(word) == 2:
			b = wire.AppendWindowScale(b, uint8(n[1]))
		case word[0] == "TS" && len(word) == 5:
			echo := n[4]
			if live, ok := d.stamps[echo]; ok {
				echo = live
			} else if d.stamped {
				echo += d.stamp
			}
			b = wire.AppendTimestamps(b, n[2], echo)
		case word[0] == "sack" && len(word)%2 == 1:
			b = d.appendSACK(b, n[1:])
		default:
			return nil, fmt.Errorf("option %q is not supported", o)
		}
	}
	for len(b)%4 != 0 {
		return nil, errors.New("options do not fill words of 4 bytes")
	}
	return b, nil
}

func (d *drill) appendSACK(b []byte, edges []uint32) []byte {
	var blocks []wire.SACKBlock
	for i := 0; i < len(edges); i += 2 {
		blocks = append(blocks, wire.SACKBlock{Left: edges[i] + d.isn, Right: edges[i+1] + d.isn})
	}
	return wire.AppendSACK(b, blocks...)
}

// showOptions writes options as scripts do. A timestamp is that of the script where
// it is not checked, and known by it from now on.
func (d *drill) showOptions(b []byte, p *drillPacket) (string, error) {
	var words []string
	for len(b) > 0 {
		o, rest, ok := wire.NextTCPOption(b)
		if !ok || !o.Valid() {
			return "", errors.New("options that are wrong")
		}
		b = rest
		word := ""
		switch o.Kind {
		case wire.TCPOptionEnd:
			word = "eol"
		case wire.TCPOptionNop:
			word = "nop"
		case wire.TCPOptionSACKPermitted:
			word = "sackOK"
		case wire.TCPOptionMSS:
			word = fmt.Sprintf("mss %d", binary.BigEndian.Uint16(o.Data))
		case wire.TCPOptionWindowScale:
			word = fmt.Sprintf("wscale %d", o.Data[0])
		case wire.TCPOptionTimestamps:
			word = d.showStamp(o.Data, p)
		case wire.TCPOptionSACK:
			word = "sack"
			for i := range o.Blocks() {
				word += fmt.Sprintf(" %d:%d", o.Block(i).Left, o.Block(i).Right)
			}
		}
		words = append(words, word)
	}
	return strings.Join(words, ","), nil
}

func (d *drill) showStamp(data []byte, p *drillPacket) string {
	value := binary.BigEndian.Uint32(data)
	shown := value - d.stamp
	for _, o := range p.options {
		var v, echo uint32
		if _, err := fmt.Sscanf(o, "TS val %d ecr %d", &v, &echo); err != nil {
			continue
		}
		if !d.stamped {
			d.stamp, d.stamped, shown = value-v, true, v
		}
		d.stamps[v] = value
		if d.script.tick == 0 {
			shown = v
		}
	}
	return fmt.Sprintf("TS val %d ecr %d", shown, binary.BigEndian.Uint32(data[4:]))
}

// What is not supported is told with file and line, and never passed over.
func TestPacketdrillErrors(t *testing.T) {
	for text, want := range map[string]string{
		"0 < S 0:0(0) win 100 <mss 1460":        `x.pkt:1: not a segment that is supported: "S 0:0(0) win 100 <mss 1460"`,
		"\n+0 > . 1:3(1) ack 1":                 "x.pkt:2: 1:3 is not 1 bytes",
		"--ip_version=ipv6":                     "x.pkt:1: option --ip_version is not supported",
		"0 socket(..., SOCK_DGRAM, 0) = 3":      "x.pkt:1: socket(..., SOCK_DGRAM, 0) is not supported",
		"socket(..., SOCK_STREAM, 0) = 3":       `x.pkt:1: no time before "socket(..., SOCK_STREAM, 0) = 3"`,
		"/* a\nb */ 0 mmap(3) = 0":              "x.pkt:2: mmap is not supported",
		"`sysctl -q net.ipv4.tcp_fastopen=1`":   "x.pkt:1: net.ipv4.tcp_fastopen is not supported",
		"0 < . 1:1(0) ack 1":                    "x.pkt:1: a segment of the peer needs win",
		"0 < S 0:0(0) win 9 <echo 1>":           `x.pkt:1: option "echo 1" is not supported`,
		"0 socket(..., SOCK_STREAM, 0) = 4":     "x.pkt:1: socket returns 3, want 4",
		"0 %{ print(1) }%":                      `x.pkt:1: "print(1)" is not supported: only assert`,
		"0 write(3, ..., 1) = -1 EPIPE (other)": "x.pkt:1: no file 3",
	} {
		s, err := parseDrill("x.pkt", text)
		if err == nil {
			err = runDrill(s)
		}
		if err == nil || strings.SplitN(err.Error(), "\n", 2)[0] != want {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}
