package subnet

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestDescribe(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"192.168.1.10/24", "net 192.168.1.0/24 mask 255.255.255.0 wild 0.0.0.255 bcast 192.168.1.255 hosts 192.168.1.1-192.168.1.254 (254) class C 192.168.1.0/24 private public=false"},
		{"10.1.2.3/8", "net 10.0.0.0/8 mask 255.0.0.0 wild 0.255.255.255 bcast 10.255.255.255 hosts 10.0.0.1-10.255.255.254 (16777214) class A 10.0.0.0/8 private public=false"},
		{"172.16.5.4/20", "net 172.16.0.0/20 mask 255.255.240.0 wild 0.0.15.255 bcast 172.16.15.255 hosts 172.16.0.1-172.16.15.254 (4094) class B 172.16.0.0/16 private public=false"},
		{"8.8.8.8/0", "net 0.0.0.0/0 mask 0.0.0.0 wild 255.255.255.255 bcast 255.255.255.255 hosts 0.0.0.1-255.255.255.254 (4294967294) class A 8.0.0.0/8  public=true"},
		{"10.0.0.1/31", "net 10.0.0.0/31 mask 255.255.255.254 wild 0.0.0.1 bcast invalid IP hosts 10.0.0.0-10.0.0.1 (2) class A 10.0.0.0/8 private public=false"},
		{"10.0.0.1/32", "net 10.0.0.1/32 mask 255.255.255.255 wild 0.0.0.0 bcast invalid IP hosts 10.0.0.1-10.0.0.1 (1) class A 10.0.0.0/8 private public=false"},
		{"224.0.0.5/4", "net 224.0.0.0/4 mask 240.0.0.0 wild 15.255.255.255 bcast 239.255.255.255 hosts 224.0.0.1-239.255.255.254 (268435454) class D invalid Prefix multicast on the local network public=false"},
		{"255.255.255.255", "net 255.255.255.255/32 mask 255.255.255.255 wild 0.0.0.0 bcast invalid IP hosts 255.255.255.255-255.255.255.255 (1) class E invalid Prefix limited broadcast public=false"},
		{"100.64.0.1/10", "net 100.64.0.0/10 mask 255.192.0.0 wild 0.63.255.255 bcast 100.127.255.255 hosts 100.64.0.1-100.127.255.254 (4194302) class A 100.0.0.0/8 shared address space, for carrier-grade NAT public=false"},
	} {
		p, err := Parse(c.in)
		if err != nil {
			t.Fatal(err)
		}
		i := Describe(p)
		name := ""
		if len(i.Special) > 0 {
			name = i.Special[0].Name
		}
		got := fmt.Sprintf("net %s mask %s wild %s bcast %s hosts %s-%s (%s) class %c %s %s public=%v",
			i.Network, i.Netmask, i.Wildcard, i.Broadcast, i.First, i.Last, i.Count, i.Class, i.ClassPrefix, name, i.Public)
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestDescribeIPv6(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"2001:db8::1/64", "2001:db8::/64 2001:db8::1-2001:db8::ffff:ffff:ffff:ffff (18446744073709551615) global  documentation public=false"},
		{"fe80::ff:fe00:1/10", "fe80::/10 fe80::1-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff (332306998946228968225951765070086143) link-local: this link only 02:00:00:00:00:01 link-local public=false"},
		{"2606:4700::1111/127", "2606:4700::1110/127 2606:4700::1110-2606:4700::1111 (2) global  global unicast public=true"},
		{"::1", "::1/128 ::1-::1 (1) host  loopback public=false"},
		{"ff02::1:ff00:1/128", "ff02::1:ff00:1/128 ff02::1:ff00:1-ff02::1:ff00:1 (1) multicast, link-local  solicited-node multicast public=false"},
	} {
		p, err := Parse(c.in)
		if err != nil {
			t.Fatal(err)
		}
		i := Describe(p)
		got := fmt.Sprintf("%s %s-%s (%s) %s %s %s public=%v", i.Network, i.First, i.Last, i.Count, i.Scope, i.EUI64, i.Special[0].Name, i.Public)
		if got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.in, got, c.want)
		}
		if i.Broadcast.IsValid() || i.Netmask.IsValid() || i.Class != 0 {
			t.Errorf("%s: IPv6 has no broadcast, mask and class", c.in)
		}
	}
}

func TestClasses(t *testing.T) {
	for in, want := range map[string]byte{"0.0.0.0": 'A', "127.255.255.255": 'A', "128.0.0.0": 'B', "191.255.0.0": 'B', "192.0.0.0": 'C', "223.1.1.1": 'C', "224.0.0.0": 'D', "239.1.1.1": 'D', "240.0.0.0": 'E', "255.0.0.0": 'E'} {
		if got, _ := class(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s is of class %c, want %c", in, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	if p, err := Parse("10.0.0.1/255.255.255.0"); err != nil || p.String() != "10.0.0.1/24" {
		t.Errorf("a netmask is a length too: %v %v", p, err)
	}
	for in, want := range map[string]string{
		"": "not an IP address", "10.0.0/8": "not an IP address", "10.0.0.1/33": "from 0 to 32", "::/129": "from 0 to 128", "10.0.0.1/255.0.255.0": "not a netmask", "10.0.0.1/-1": "from 0 to 32", "fe80::1%eth0/64": "not an IP address",
	} {
		if _, err := Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want %q", in, err, want)
		}
	}
}

func TestPicture(t *testing.T) {
	for in, want := range map[string]string{
		"192.168.1.10/26": "11000000.10101000.00000001.00 | 001010",
		"10.0.0.1/8":      "00001010 | 00000000.00000000.00000001",
		"10.0.0.1/32":     "00001010.00000000.00000000.00000001 |",
		"10.0.0.1/0":      " | 00001010.00000000.00000000.00000001",
	} {
		if got := Picture(netip.MustParsePrefix(in)); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestUsable(t *testing.T) {
	for _, c := range []struct {
		prefix, addr string
		want         bool
	}{
		{"10.0.0.0/24", "10.0.0.0", false},
		{"10.0.0.0/24", "10.0.0.1", true},
		{"10.0.0.0/24", "10.0.0.255", false},
		{"10.0.0.0/24", "10.0.1.1", false},
		{"10.0.0.0/31", "10.0.0.0", true},
		{"10.0.0.0/31", "10.0.0.1", true},
		{"fd00::/64", "fd00::", false},
		{"fd00::/64", "fd00::ffff:ffff:ffff:ffff", true},
	} {
		if got := Usable(netip.MustParsePrefix(c.prefix), netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s in %s: %v", c.addr, c.prefix, got)
		}
	}
}

func TestPoolHandsOutInOrderAroundWhatIsTaken(t *testing.T) {
	taken := []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("10.0.0.0/30"), netip.MustParsePrefix("fd00::/64"), netip.MustParsePrefix("10.0.1.128/25")}
	p := NewPool(netip.MustParsePrefix("10.0.0.0/22"), taken)
	var got []string
	for _, length := range []int{30, 30, 24, 25, 25, 24, 32} {
		next, ok := p.Next(length)
		got = append(got, fmt.Sprint(next, ok))
	}
	want := "[10.0.0.4/30 true 10.0.0.8/30 true 10.0.2.0/24 true 10.0.3.0/25 true 10.0.3.128/25 true invalid Prefix false invalid Prefix false]"
	if fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	six := NewPool(netip.MustParsePrefix("fd00::/48"), taken)
	if a, _ := six.Next(64); a.String() != "fd00:0:0:1::/64" {
		t.Errorf("got %v", a)
	}
	end := NewPool(netip.MustParsePrefix("255.255.255.252/30"), nil)
	for _, want := range []string{"255.255.255.252/31 true", "255.255.255.254/31 true", "invalid Prefix false"} {
		if a, ok := end.Next(31); fmt.Sprint(a, ok) != want {
			t.Errorf("got %v %v, want %s", a, ok, want)
		}
	}
}
