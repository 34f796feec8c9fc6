package stack

import (
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// fragmentIPv4 is ip_do_fragment: it cuts the packet in f, which begins at its IP
// header and may be a fragment itself, to what the path takes (RFC 791 3.2).
func (s *Stack) fragmentIPv4(now sim.Time, f *wire.Frame, o *outgoing) {
	ip := wire.IPv4(f.Bytes())
	room := (o.mtu - ip.HeaderLen()) &^ 7
	if room < 8 || ip.DontFragment() {
		s.count(ipFragFails)
		s.dropPacket(now, o.iface, f, wire.DropFragmentationOff)
		return
	}
	h := wire.IPv4Header{
		TOS: ip.TOS(), ID: ip.ID(), TTL: ip.TTL(), Protocol: ip.Protocol(), Src: ip.Src(), Dst: ip.Dst(), Options: ip.Options(),
	}
	payload := ip.Payload()
	for at := 0; at < len(payload); at += room {
		end := min(at+room, len(payload))
		if at > 0 && len(ip.Options()) > 0 {
			h.Options = copiedOptions(ip.Options())
		}
		h.FragmentOffset = ip.FragmentOffset() + at
		h.MoreFragments = end < len(payload) || ip.MoreFragments()
		part := s.pool.Get(o.mtu)
		part.Packet, part.ChecksumsGood = f.Packet, f.ChecksumsGood
		b := wire.AppendIPv4(part.Buffer(), h, end-at)
		part.SetBytes(append(b, payload[at:end]...))
		s.count(ipFragCreates)
		s.finishOutput(now, part, o)
	}
	s.count(ipFragOKs)
	f.Release()
}

// copiedOptions are the options that go into every fragment: those with the copy
// flag (RFC 791 3.1). As in ip_options_fragment the others become no-operations,
// so the header keeps its length.
func copiedOptions(options []byte) []byte {
	kept := append([]byte(nil), options...)
	for at := 0; at < len(kept) && kept[at] != 0; {
		length := 1
		if kept[at] != 1 {
			if at+1 >= len(kept) || kept[at+1] < 2 || at+int(kept[at+1]) > len(kept) {
				break
			}
			length = int(kept[at+1])
		}
		if kept[at]&0x80 == 0 {
			for k := at; k < at+length; k++ {
				kept[k] = 1
			}
		}
		at += length
	}
	return kept
}
