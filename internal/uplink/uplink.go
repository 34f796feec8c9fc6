// Package uplink joins a live lab to the real network: so far a TAP device, a
// network card of the Linux kernel whose other end is a link of the lab.
//
// Frames go both ways unchanged. It makes sense by the wall clock only. Start
// reading at Attach.
package uplink

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/hopyard/hopyard/internal/link"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Device is a network card of the real machine: a Read returns one whole
// Ethernet frame, a Write sends one. Close ends a Read that waits.
type Device interface {
	io.ReadWriteCloser
}

const (
	frameMax   = 66 << 10 // the largest frame that is read
	queueLimit = 1000     // frames that wait for the device, as Linux's txqueuelen
)

// Uplink is a device plugged into an end of a link.
type Uplink struct {
	device Device
	end    *link.End
	pool   *wire.Pool
	out    chan []byte
	drops  atomic.Uint64
	fault  atomic.Pointer[error]
}

var _ link.Receiver = (*Uplink)(nil)

// Attach plugs the device into the end of a link, in place of what was there, and
// pumps frames both ways until the run ends; then it closes the device. o is the
// end's node in the order of events. Kernel only, in a live run.
func Attach(o *sim.Origin, end *link.End, pool *wire.Pool, d Device) *Uplink {
	u := &Uplink{device: d, end: end, pool: pool, out: make(chan []byte, queueLimit)}
	end.SetReceiver(o.Now(), u)
	o.Go("uplink", u.pump, nil)
	return u
}

// Drops is how many frames the device was too slow for, or refused.
func (u *Uplink) Drops() uint64 { return u.drops.Load() }

// Err is the first thing that the device refused to do, nil while all is well.
func (u *Uplink) Err() error {
	if err := u.fault.Load(); err != nil {
		return *err
	}
	return nil
}

// Receive takes a frame from the link. It never waits for the device.
func (u *Uplink) Receive(_ sim.Time, _ int, f *wire.Frame) {
	select {
	case u.out <- append([]byte(nil), f.Bytes()...):
	default:
		u.drops.Add(1)
	}
	f.Release()
}

// pump is the program that reads and writes the device.
func (u *Uplink) pump(p *sim.Proc) {
	go func() {
		for {
			select {
			case b := <-u.out:
				if _, err := u.device.Write(b); err != nil {
					u.drops.Add(1) // EIO while the device is down, say: the next one may do
					u.fail("write", err)
				}
			case <-p.Context().Done():
				_ = u.device.Close() // ends the Read below
				return
			}
		}
	}()
	caller := p.NewCaller()
	b := make([]byte, frameMax)
	for {
		n, err := u.device.Read(b)
		if err != nil {
			u.fail("read", err)
			return
		}
		frame := append([]byte(nil), b[:n]...)
		caller.Post(func(now sim.Time) { u.inject(now, frame) })
	}
}

// inject sends a frame of the device into the link. Kernel only.
func (u *Uplink) inject(now sim.Time, b []byte) {
	f := u.pool.Get(len(b))
	f.SetBytes(append(f.Buffer(), b...))
	u.end.Send(now, f)
}

func (u *Uplink) fail(op string, err error) {
	if errors.Is(err, os.ErrClosed) {
		return // by the end of the run
	}
	wrapped := fmt.Errorf("uplink: %s: %w", op, err)
	u.fault.CompareAndSwap(nil, &wrapped)
}
