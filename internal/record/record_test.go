package record

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// arpFrame is "who has 10.0.0.2? tell 10.0.0.1".
const arpFrame = "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01" +
	"\x02\x00\x00\x00\x00\x01\x0a\x00\x00\x01\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x02"

func play(r *Recorder) {
	var pool wire.Pool
	f := pool.Get(64)
	f.SetBytes(append(f.Buffer(), arpFrame...))
	f.Packet = 7
	h1 := r.AddPlace(Place{Node: "h1", Port: "eth0", RateBitsPerSecond: 1e9})
	h2 := r.AddPlace(Place{Node: "h2", Port: "eth0"})
	r.Sent(0, h1, f)
	r.Received(1000, h2, f)
	r.Sent(2000, h1, f)
	r.Dropped(2500, h1, f, wire.DropLoss)
	r.Dropped(3000, h1, f, wire.DropQueueFull)
}

func TestCaptureReadsBackAsWritten(t *testing.T) {
	dir := t.TempDir()
	w, err := NewPcapWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	log := NewLog(0)
	r := New()
	r.Attach(w)
	r.Attach(log)
	play(r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := OpenCapture(filepath.Join(dir, AllName))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range log.Len() {
		want := log.At(i)
		got, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if want.At == 2500 {
			want.At = 2000 // the comment stands on the record of the sending
		}
		if got.At != want.At || got.Kind != want.Kind || got.Why != want.Why || got.Packet != 7 ||
			string(got.Data) != string(want.Data) || c.Places()[got.Place].String() != log.Places()[want.Place].String() {
			t.Errorf("event %d: got %+v, want %+v", i, got, want)
		}
	}
	if _, err := c.Next(); err != io.EOF {
		t.Errorf("after the last event: %v, want EOF", err)
	}
	if rate := c.Places()[0].RateBitsPerSecond; rate != 1e9 {
		t.Errorf("%d bit/s at h1:eth0, want 1e9", rate)
	}
}

func TestTsharkFindsCapturesClean(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("tshark is missing: apt-get install tshark")
		}
		t.Skip("tshark is missing: apt-get install tshark")
	}
	dir := t.TempDir()
	w, err := NewPcapWriter(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := New()
	r.Attach(w)
	play(r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{AllName, "h1-eth0.pcapng", "h2-eth0.pcapng"} {
		out, err := exec.Command("../../scripts/judge-capture.sh", filepath.Join(dir, name)).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestFingerprintDoesNotDependOnSinks(t *testing.T) {
	bare, logged := New(), New()
	logged.Attach(NewLog(1))
	play(bare)
	play(logged)
	if bare.FullFingerprint() != logged.FullFingerprint() || len(bare.Fingerprint()) != 19 {
		t.Errorf("%s with no sink, %s with one", bare.Fingerprint(), logged.Fingerprint())
	}
}

func TestLogStopsAtItsLimit(t *testing.T) {
	log := NewLog(200)
	r := New()
	r.Attach(log)
	play(r)
	if !log.Truncated() || log.Seen() != 5 || log.Len() >= 5 {
		t.Errorf("truncated %v, seen %d, kept %d", log.Truncated(), log.Seen(), log.Len())
	}
}

func BenchmarkEvent(b *testing.B) {
	var pool wire.Pool
	f := pool.Get(1514)
	f.SetBytes(f.Buffer()[:1514])
	r := New()
	p := r.AddPlace(Place{Node: "h1"})
	for i := 0; b.Loop(); i++ {
		r.Sent(sim.Time(i), p, f)
	}
}
