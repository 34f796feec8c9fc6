package gvisor

import (
	"fmt"
	"math/rand"
	"testing"
)

// Texts arrive over paths of all kinds, drawn by their number.
func TestRandomPaths(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewSource(int64(seed)))
		pick := func(of ...string) string { return of[r.Intn(len(of))] }
		s := setting{seed: seed, noSACK: r.Intn(5) == 0}
		s.link = fmt.Sprintf("rate: %s, queue: %s, loss: %s, delay: %s, duplicate: %s, reorder: %s",
			pick("10mbit", "100mbit", "1gbit"), pick("20p", "200p", "10000p"), pick("0%", "1%", "5%", "10%"),
			pick("0ms", "1ms", "20ms", "200ms"), pick("0%", "0%", "3%"), pick("0%", "0%", "10%"))
		s.sysctl = pick("", "", small, "net.ipv4.tcp_sack: 0", "net.ipv4.tcp_timestamps: 0", "net.ipv4.tcp_window_scaling: 0",
			"net.ipv4.tcp_congestion_control: reno", "net.ipv4.tcp_recovery: 0")
		if s.sysctl == small {
			s.buffer = 16 << 10
		}
		t.Run(fmt.Sprintf("%d/%s/%s", seed, s.link, s.sysctl), func(t *testing.T) {
			p := newPeer(t, s)
			p.mayResend = true
			p.transfer(r.Intn(2) == 0, r.Intn(400_000), r.Intn(400_000))
		})
	}
}
