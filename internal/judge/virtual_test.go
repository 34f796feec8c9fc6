package judge

import "testing"

// What the lab's machines see of Linux.

func TestVirtualHostPingsLinux(t *testing.T) {
	_, done := newPeer(t, "ping -n -c 3 -i 0.2 10.77.1.2")
	wait(t, done[0]).expect(t, 0, map[string]int{
		`^64 bytes from 10\.77\.1\.2: icmp_seq=[123] ttl=64 time=`: 3,
		`^3 packets transmitted, 3 received, 0% packet loss`:       1,
	})
}

func TestVirtualHostPingsLinuxInFragments(t *testing.T) {
	p, done := newPeer(t, "ping -n -c 3 -i 0.2 -s 4000 10.77.1.2")
	wait(t, done[0]).expect(t, 0, map[string]int{
		`^4008 bytes from 10\.77\.1\.2: icmp_seq=[123] ttl=64 time=`: 3,
		`^3 packets transmitted, 3 received, 0% packet loss`:         1,
	})
	if got := p.snmp("Ip", "ReasmOKs"); got != "3" {
		t.Errorf("Linux put %s datagrams together, want 3", got)
	}
	if got := p.snmp("Ip", "ReasmReqds"); got != "9" {
		t.Errorf("Linux received %s fragments, want 9", got)
	}
}

// A new address is usable after a second of duplicate detection.
func TestVirtualHostPingsLinuxIPv6(t *testing.T) {
	_, done := newPeer(t, "sleep 2 && ping -6 -n -c 3 -i 0.2 fd77:1::2")
	wait(t, done[0]).expect(t, 0, map[string]int{
		`^64 bytes from fd77:1::2: icmp_seq=[123] ttl=64 time=`: 3,
		`^3 packets transmitted, 3 received, 0% packet loss`:    1,
	})
}

func TestVirtualHostArpingsLinux(t *testing.T) {
	_, done := newPeer(t, "arping -c 2 -I eth0 10.77.1.2")
	wait(t, done[0]).expect(t, 0, map[string]int{
		`(?i)^Unicast reply from 10\.77\.1\.2 \[02:00:00:00:77:02\]`: 2,
		`^Received 2 response\(s\)`:                                  1,
	})
}

func TestVirtualHostTracesRouteToLinux(t *testing.T) {
	_, done := newPeer(t, "traceroute -n 10.77.1.2")
	wait(t, done[0]).expect(t, 0, map[string]int{
		`^ 1  10\.77\.1\.2  [\d.]+ ms  [\d.]+ ms  [\d.]+ ms$`: 1,
		`^ 2`: 0,
	})
}

func TestVirtualHostIsRefusedByLinux(t *testing.T) {
	_, done := newPeer(t, "nc -u -v -z 10.77.1.2 9999")
	wait(t, done[0]).expect(t, 1, map[string]int{`Connection refused`: 1})
}

func TestVirtualHostSendsUDPToLinux(t *testing.T) {
	p, done := newPeer(t, "sleep 2 && nc -u -q 0 10.77.1.2 9000")
	// nc reads one datagram and ends a second after it.
	heard := p.linux("nc", "-n", "-u", "-l", "-W", "1", "9000")
	if heard.out != greeting {
		t.Errorf("Linux heard %+v", heard)
	}
	wait(t, done[0]).expect(t, 0, nil)
	if got := p.snmp("Udp", "InErrors"); got != "0" {
		t.Errorf("%s UDP datagrams with errors", got)
	}
}
