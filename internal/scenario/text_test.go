package scenario

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the wanted files of testdata anew")

// sample is a report with some of everything.
func sample() *Report {
	long := strings.Repeat("a line of output\n", shownOutputLines+5)
	r := &Report{
		Lab: "sample", Seed: 7, Points: 3, PointsMax: 6, Recorded: true, Fingerprint: "fp 0123456789abcdef", Wall: 120 * time.Millisecond,
		Run: []RunReport{
			{
				Name: "near", title: "near", Node: "h1", Command: "ping -c 1 h2", At: time.Second, Judged: true, Held: true, Times: 1,
				Executions: []ExecutionReport{{Node: "h1", At: 1000 * ms, Took: 4 * time.Millisecond, Stdout: "PING h2 (10.0.1.12) 56(84) bytes of data.\n\x1b[31m1 packets transmitted\n"}},
			},
			{
				Name: "all", title: "all", Node: "g", Command: "echo", At: 2 * time.Second, Every: time.Second, Judged: true, Times: 9980, Unheld: 1,
				Executions: []ExecutionReport{
					{Node: "a", At: 2000 * ms, Stdout: "\n"},
					{Node: "b", At: 2000 * ms, Exit: 1, Stderr: "oops\n", Problems: []string{"exit status was 1, wanted 0", "stdout is not what was wanted (- wanted, + got):\n- a\n+ b"}},
				},
			},
			{title: "run 3", Node: "h1", Command: "ping h2", Times: 1, Executions: []ExecutionReport{{Node: "h1", Took: time.Minute, Ended: "the lab was over", Stdout: long}}},
			{title: "late", Node: "h1", Command: "true", At: time.Hour, Judged: true},
		},
		Loads: []LoadReport{{
			Name: "l", title: "l", Node: "h1", Load: "udp to h2:7, 56 bytes, every 10ms", Sources: 3, Sent: 12345, Received: 12000, Errors: 2, Problem: "h1: connection refused",
			Min: 4 * time.Millisecond, Avg: 5 * time.Millisecond, P50: 4 * time.Millisecond, P99: 9 * time.Millisecond, Max: 10 * time.Millisecond, timed: true,
		}},
		Events: []EventReport{{1000 * ms, "digger", "h1-sw fails"}, {3000 * ms, "", "h1-sw works again"}},
		Checks: []CheckReport{
			{Name: "held", Expect: "true", Held: true, Points: 3, PointsMax: 3},
			{
				Name: "unheld", Expect: `frames("h1", "arp request") == 2`, PointsMax: 3, Values: []string{`frames("h1", "arp request") was 3, wanted == 2`},
				Hint: "h1 should ask twice and no more, for the answer to its second question comes at once", Packets: []string{"1s h1:eth0 sent: ARP request: who has 10.0.1.12? tell 10.0.1.11"},
			},
		},
		Conversations: []ConversationReport{
			{From: "10.0.1.11", FromNode: "h1", To: "10.0.1.99", Protocol: "arp", There: WayReport{Packets: 3, Bytes: 126, Path: []string{"h1", "sw"}, Flooded: true}},
			{
				From: "10.0.1.11", FromNode: "h1", To: "10.0.2.13", ToNode: "h3", Protocol: "udp port 7",
				There:   WayReport{Packets: 12345, Bytes: 1234567, Drops: 1, Path: []string{"h1", "sw", "r1", "h3"}, Arrived: true},
				Back:    WayReport{Packets: 12001, Bytes: 1200000, Path: []string{"h3", "r1", "sw", "h1"}, Arrived: true},
				Answers: []AnswerReport{{"time exceeded", "10.0.1.1", "r1", 1}},
			},
		},
		Drops: []DropReport{
			{Place: "r1:eth0", Reason: "no route", Packets: 1, First: 1000 * ms, Example: "10.0.0.1 -> 10.0.9.9 icmp echo request"},
			{Place: "h1:eth0", Link: "h1-sw", Reason: "lost on the link", Packets: 1234, First: 1500 * ms, Example: "10.0.0.1 -> 10.0.0.2 udp port 40000 -> 7"},
		},
		OtherPackets: 17,
		Totals:       Totals{Time: 60000 * ms, Events: 99999, Frames: 123456, Bytes: 7654321, Dropped: 1235, Unwanted: 2},
	}
	for i := range shownConversations {
		to := fmt.Sprintf("10.1.0.%d", i)
		r.Conversations = append(r.Conversations, ConversationReport{From: "10.0.1.11", To: to, Protocol: "icmp echo", There: WayReport{Packets: 1, Bytes: 98}})
	}
	return r
}

func TestReportText(t *testing.T) {
	var b bytes.Buffer
	if err := sample().Text(&b, 80, false); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.txt", b.Bytes())
	b.Reset()
	if err := sample().Text(&b, 80, true); err != nil {
		t.Fatal(err)
	}
	plain := b.String()
	for _, code := range []string{terminal.good, terminal.bad, terminal.head, terminal.faint, terminal.off} {
		plain = strings.ReplaceAll(plain, code, "")
	}
	golden(t, "report.txt", []byte(plain))
}

func TestReportJSON(t *testing.T) {
	var b bytes.Buffer
	r := sample()
	r.Conversations = r.Conversations[:2]
	r.Run = r.Run[:2]
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", b.Bytes())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (- wanted, + got); go test -update writes it anew\n%s", path, diff(string(want), string(got)))
	}
}
