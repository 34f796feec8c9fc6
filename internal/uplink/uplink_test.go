package uplink_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/link"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/uplink"
	"github.com/hopyard/hopyard/internal/wire"
)

// card is a device in memory, whose first Write fails.
type card struct {
	in     chan []byte // what the machine sends into the lab
	out    chan []byte // what the lab sends to the machine
	closed chan struct{}
	once   sync.Once
	writes int
}

func (c *card) Read(b []byte) (int, error) {
	select {
	case f := <-c.in:
		return copy(b, f), nil
	case <-c.closed:
		return 0, os.ErrClosed
	}
}

func (c *card) Write(b []byte) (int, error) {
	if c.writes++; c.writes == 1 {
		return 0, io.ErrShortWrite
	}
	c.out <- bytes.Clone(b)
	return len(b), nil
}

func (c *card) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

// mirror sends back what it gets.
type mirror struct{ end *link.End }

func (m *mirror) Receive(now sim.Time, _ int, f *wire.Frame) { m.end.Send(now, f) }

func TestFramesGoBothWaysAndOneThatIsRefusedIsCounted(t *testing.T) {
	kernel, pool := sim.New(), &wire.Pool{}
	node, outside := kernel.NewOrigin("node"), kernel.NewOrigin("outside")
	m := &mirror{}
	cable := link.New(link.Config{Name: "cable", Ends: []link.EndConfig{{Origin: node, Receiver: m}, {Origin: outside}}})
	m.end = cable.End(0)
	c := &card{in: make(chan []byte), out: make(chan []byte, 10), closed: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	frame := bytes.Repeat([]byte{7}, 60)
	go func() {
		c.in <- frame // comes back to a Write that fails
		c.in <- frame
		select {
		case got := <-c.out:
			if !bytes.Equal(got, frame) {
				t.Errorf("got % x", got)
			}
		case <-time.After(10 * time.Second):
			t.Error("the frame did not come back")
		}
		stop()
	}()
	var u *uplink.Uplink
	err := kernel.RunLive(ctx, sim.Never, func() { u = uplink.Attach(outside, cable.End(1), pool, c) }, nil)
	if !errors.Is(err, sim.ErrStopped) {
		t.Error(err)
	}
	if u.Drops() != 1 || !errors.Is(u.Err(), io.ErrShortWrite) || pool.Lent() != 0 {
		t.Errorf("%d drops, %v, %d frames lent", u.Drops(), u.Err(), pool.Lent())
	}
}
