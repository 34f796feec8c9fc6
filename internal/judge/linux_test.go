package judge

import "testing"

// What Linux sees of the lab's machines.

func TestLinuxPings(t *testing.T) {
	p, _ := newPeer(t)
	p.linux("ping", "-n", "-c", "3", "-i", "0.2", "10.77.1.11").expect(t, 0, map[string]int{
		`^64 bytes from 10\.77\.1\.11: icmp_seq=[123] ttl=64 time=`: 3,
		`^3 packets transmitted, 3 received, 0% packet loss`:        1,
	})
	// Behind the router one hop is gone.
	p.linux("ping", "-n", "-c", "3", "-i", "0.2", "10.77.2.12").expect(t, 0, map[string]int{
		`^64 bytes from 10\.77\.2\.12: icmp_seq=[123] ttl=63 time=`: 3,
		`^3 packets transmitted, 3 received, 0% packet loss`:        1,
	})
}

func TestLinuxPingsInFragments(t *testing.T) {
	p, _ := newPeer(t)
	p.linux("ping", "-n", "-c", "3", "-i", "0.2", "-s", "4000", "10.77.2.12").expect(t, 0, map[string]int{
		`^4008 bytes from 10\.77\.2\.12: icmp_seq=[123] ttl=63 time=`: 3,
		`^3 packets transmitted, 3 received, 0% packet loss`:          1,
	})
	if got := p.snmp("Ip", "ReasmOKs"); got != "3" {
		t.Errorf("Linux put %s datagrams together, want 3", got)
	}
	// 4028 bytes are three packets of 1500 at most.
	if got := p.snmp("Ip", "FragCreates"); got != "9" {
		t.Errorf("Linux made %s fragments, want 9", got)
	}
}

func TestLinuxArpings(t *testing.T) {
	p, _ := newPeer(t)
	p.linux("arping", "-c", "2", "-I", "lab0", "10.77.1.11").expect(t, 0, map[string]int{
		`^Unicast reply from 10\.77\.1\.11 \[`: 2,
		`^Sent 2 probes \(1 broadcast\(s\)\)`:  1,
		`^Received 2 response\(s\)`:            1,
	})
}

func TestLinuxTracesRoute(t *testing.T) {
	p, _ := newPeer(t)
	p.linux("traceroute", "-n", "10.77.2.12").expect(t, 0, map[string]int{
		`^ 1  10\.77\.1\.1  [\d.]+ ms  [\d.]+ ms  [\d.]+ ms$`:  1,
		`^ 2  10\.77\.2\.12  [\d.]+ ms  [\d.]+ ms  [\d.]+ ms$`: 1,
		`^ 3`: 0,
		`\*`:  0,
	})
}

func TestLinuxUsesUDP(t *testing.T) {
	p, _ := newPeer(t)
	r := p.linuxWith("hello, lab\n", "nc", "-n", "-u", "-W", "1", "10.77.1.11", "7")
	if r != (result{0, "hello, lab\n"}) {
		t.Errorf("the echo service: %+v", r)
	}
	if got := p.snmp("Udp", "InDatagrams"); got != "1" {
		t.Errorf("Linux received %s datagrams, want 1", got)
	}
}

func TestLinuxIsRefused(t *testing.T) {
	p, _ := newPeer(t)
	// nc ends when its socket reports ECONNREFUSED; without, it would wait.
	p.linuxWith("hello\n", "nc", "-n", "-u", "10.77.1.11", "9999").expect(t, 0, nil)
	if got := p.snmp("Icmp", "InDestUnreachs"); got != "1" {
		t.Errorf("Linux received %s ICMP destination unreachable, want 1", got)
	}
	if got := p.snmp("Icmp", "InCsumErrors"); got != "0" {
		t.Errorf("%s ICMP messages with a bad checksum", got)
	}
}

func TestLinuxLearnsPathMTU(t *testing.T) {
	p, _ := newPeer(t)
	// The first is refused by the router, the second by Linux itself, which has
	// learned.
	p.linux("ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", "1472", "10.77.3.13").expect(t, 1, map[string]int{
		`^From 10\.77\.1\.1 icmp_seq=1 Frag needed and DF set \(mtu = 1400\)$`: 1,
		`^ping: local error: message too long, mtu=1400$`:                      1,
		`^2 packets transmitted, 0 received, \+2 errors, 100% packet loss`:     1,
	})
	p.linux("ip", "route", "get", "10.77.3.13").expect(t, 0, map[string]int{`\bmtu 1400\b`: 1})
	p.linux("ping", "-n", "-c", "1", "-M", "do", "-s", "1372", "10.77.3.13").expect(t, 0, map[string]int{`1 received, 0% packet loss`: 1})
}

func TestLinuxPingsIPv6(t *testing.T) {
	p, _ := newPeer(t)
	p.linux("ping", "-n", "-c", "3", "-i", "0.2", "fd77:1::11").expect(t, 0, map[string]int{
		`^64 bytes from fd77:1::11: icmp_seq=[123] ttl=64 time=`: 3,
		`^3 packets transmitted, 3 received, 0% packet loss`:     1,
	})
	p.linux("ping", "-n", "-c", "3", "-i", "0.2", "-s", "4000", "fd77:2::12").expect(t, 0, map[string]int{
		`^4008 bytes from fd77:2::12: icmp_seq=[123] ttl=63 time=`: 3,
		`^3 packets transmitted, 3 received, 0% packet loss`:       1,
	})
}
