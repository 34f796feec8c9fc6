package scenario

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const pinged = lan + `
run:
  - { at: 1s, name: near, node: h1, cmd: "ping -c 2 h2", expect: { exit: 0 } }
  - { at: 4s, name: far, node: h1, cmd: "ping -c 1 h3" }
  - { at: 5s, name: nobody, node: h1, cmd: "ping -c 1 10.0.1.99", expect: { exit: 1 } }
  - { at: 9s, name: hello, node: h2, cmd: "echo hello" }
  - { at: 9s, name: flood, node: h1, load: { udp: "h2:7", rate: 100/s, for: 1s } }
`

// Wrong names and words are told with their place before anything runs.
func TestCheckErrors(t *testing.T) {
	tests := []struct{ expect, want string }{
		{`run["naer"].exit == 0`, `test.yaml:19:12: check "c": there is no item of run with a cmd called "naer"; did you mean "near"?`},
		{`run["near"].exti == 0`, `type scenario.runValue has no field exti`},
		{`ping("hello").received == 1`, `test.yaml:19:13: check "c": there is no item of run that pings called "hello"`},
		{`frames("h9", "arp") == 1`, `test.yaml:19:15: check "c": there is no node and no link "h9"`},
		{`frames("h1:eth1", "arp") == 1`, `test.yaml:19:18: check "c": h1 has no interface "eth1"; did you mean "eth0"?`},
		{`frames("h1", "arp requset") == 1`, `test.yaml:19:25: check "c": unknown word "requset"; did you mean "request"?`},
		{`frames("h1", "ar" + "p") == 1`, `test.yaml:19:7: check "c": frames takes a place and words, written out as texts`},
		{`drops("r1", "no rout udp") == 1`, `test.yaml:19:20: check "c": unknown words "no rout"; did you mean "no route"?`},
		{`farmes("h1", "arp") == 1`, `test.yaml:19:7: check "c": unknown name farmes; did you mean "frames"?`},
		{`frames("h1", "arp")`, `check "c": expected bool, but got int`},
		{`mac_table("h1") == 1`, `test.yaml:19:18: check "c": there is no switch called "h1"`},
		{`mac("r1") == ""`, `say which interface of r1, as in "r1:eth0"; it has eth0, eth1`},
		{`now() == 1`, `unknown name now`},
		{`1 ==`, `test.yaml:19:10: check "c": unexpected token EOF`},
		{`run["near"].took < 5`, `invalid operation: < (mismatched types time.Duration and int)`},
	}
	for _, test := range tests {
		p := planOf(t, pinged+"validate:\n  c: '"+test.expect+"'\n")
		_, err := Compile(p.Lab, p)
		if err == nil {
			t.Errorf("%s: no error", test.expect)
		} else if !strings.Contains(strings.ReplaceAll(err.Error(), "error: ", ""), test.want) {
			t.Errorf("%s:\n%v\nwant %s", test.expect, err, test.want)
		}
	}
}

// All that is wrong is told at once.
func TestCheckErrorsTogether(t *testing.T) {
	p := planOf(t, pinged+`validate: { a: 'frames("h9") == 1', b: 'ping("x").sent == 1 and load("y").sent == 1' }`)
	_, err := Compile(p.Lab, p)
	if err == nil || strings.Count(err.Error(), "error: ") != 3 {
		t.Errorf("want three errors, got\n%v", err)
	}
}

func TestChecks(t *testing.T) {
	tests := []struct {
		expect string
		values []string // why it does not hold; nil: it holds
	}{
		{`run["near"].exit == 0 and run["nobody"].exit == 1`, nil},
		{`run["hello"].stdout == "hello\n" and run["hello"].at == duration("9s")`, nil},
		{`run["near"].nodes["h1"].exit == 0 and run["near"].times == 1`, nil},
		{`run["near"].took > duration("1s") and run["near"].took < duration("1100ms")`, nil},
		{`ping("near").sent == 2 and ping("near").received == 2 and ping("near").lost == 0`, nil},
		{`ping("near").rtt_min == duration("4ms") and ping("far").rtt_min >= ping("near").rtt_min`, nil},
		{`max(ping("near").sent, ping("far").sent) == 2`, nil},
		{`all(["near", "far"], ping(#).lost == 0)`, nil},
		{`load("flood").sent == 100 and load("flood").received == 100 and load("flood").errors == 0`, nil},
		{`load("flood").rtt_min == duration("4ms") and load("flood").rtt_p99 == load("flood").rtt_max`, nil},
		{`frames("h1", "arp request 10.0.1.99") == 3 and frames("h1:eth0", "arp request 10.0.1.99") == 3`, nil},
		{`frames("h1-sw", "icmp echo request to h2") == 2 and frames("", "icmp echo request to h2") == 4`, nil},
		{`frames("h2", "udp from port 7") == 100`, nil},
		{`frames("sw", "icmp echo reply") == frames("", "icmp echo reply from h2") / 2 + 1`, nil},
		{`drops("h1", "neighbor failed") == 1 and drops("h1-sw") == 0 and drops("", "loss") == 0`, nil},
		{`arp("h1")["10.0.1.12"] == mac("h2:eth0") and not ("10.0.1.99" in arp("h1"))`, nil},
		{`mac_table("sw")[mac("h1")] == "1"`, nil},
		{`addr("h1") == "10.0.1.11" and addr("r1:eth1") == "10.0.2.1"`, nil},
		{`route("h1", "h3") == "via 10.0.1.1 dev eth0" and route("h1", "10.0.1.12") == "dev eth0"`, nil},
		{`route("h1", "h1") == "local" and route("h1", "192.0.2.1") == "via 10.0.1.1 dev eth0" and route("r1", "192.0.2.1") == "none"`, nil},
		{`elapsed > duration("9s")`, nil},

		{`frames("h1", "arp request 10.0.1.99") == 2`, []string{`frames("h1", "arp request 10.0.1.99") was 3, wanted == 2`}},
		{`run["near"].exit == 0 and ping("near").lost > 0`, []string{`ping("near").lost was 0, wanted > 0`}},
		{`ping("near").rtt_min > ping("far").rtt_min + duration("7ms")`, []string{
			`ping("near").rtt_min was 4ms, wanted > ping("far").rtt_min + duration("7ms"), which was 19ms`, `ping("far").rtt_min was 12ms`,
		}},
		{`"10.0.1.99" in arp("h3")`, []string{`arp("h3") was {10.0.2.1: 02:00:00:00:00:02}, wanted "10.0.1.99" in it`}},
		{`not ("10.0.2.1" in arp("h3"))`, []string{`arp("h3") was {10.0.2.1: 02:00:00:00:00:02}, wanted "10.0.2.1" not in it`}},
		{`run["hello"].stdout contains "bye"`, []string{`run.hello.stdout was "hello\n", wanted contains "bye"`}},
		{`false`, []string{`false was false`}},
	}
	var lab strings.Builder
	lab.WriteString(pinged + "validate:\n")
	for i, test := range tests {
		lab.WriteString(fmt.Sprintf("  c%d: '", i) + test.expect + "'\n")
	}
	r := play(t, lab.String())
	for i, test := range tests {
		c := r.Checks[i]
		if c.Held != (test.values == nil) {
			t.Errorf("%s: held is %v; %q", test.expect, c.Held, c.Values)
		} else if !slices.Equal(c.Values, test.values) {
			t.Errorf("%s:\n%q, want\n%q", test.expect, c.Values, test.values)
		}
	}
}

// A count that is not what was wanted shows the packets it is about, and where
// there are none, those that came near.
func TestChecksShowPackets(t *testing.T) {
	r := play(t, pinged+`validate:
  counted: 'frames("h1", "arp request 10.0.1.99") == 0'
  near: { expect: 'frames("h1", "icmp echo request 10.0.1.98") == 1', points: 2, fail: look at the address }
`)
	c := r.Checks[0]
	want := []string{
		"5s h1:eth0 sent: ARP request: who has 10.0.1.99? tell 10.0.1.11",
		"6s h1:eth0 sent: ARP request: who has 10.0.1.99? tell 10.0.1.11",
		"7s h1:eth0 sent: ARP request: who has 10.0.1.99? tell 10.0.1.11",
	}
	if len(c.Packets) < 3 || !slices.Equal(c.Packets[len(c.Packets)-3:], want) {
		t.Errorf("%q, want\n%q", c.Packets, want)
	}
	near := r.Checks[1]
	if len(near.Packets) != 3 || !strings.Contains(near.Packets[0], "10.0.1.11 -> 10.0.1.12 ICMP echo request") {
		t.Errorf("nearest are %q", near.Packets)
	}
	if near.Points != 0 || near.PointsMax != 2 || near.Hint != "look at the address" || r.PointsMax != 3 {
		t.Errorf("%+v", near)
	}
}
