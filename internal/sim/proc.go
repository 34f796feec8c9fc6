package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
)

// Proc is a program that runs on a node: an ordinary goroutine, with whatever
// goroutines it starts, that reaches the network by calls.
type Proc struct {
	origin *Origin
	name   string
	key    uint64 // (node, number of the program on the node)

	ctx     context.Context
	cancel  context.CancelCauseFunc
	callers atomic.Uint64
	self    *Caller
	exit    func(now Time)
	atStop  []func(now Time)
}

// ErrEnded is the cause of a program's context when the run has ended.
var ErrEnded = errors.New("the run has ended")

// Go starts main as a program on node o, at the present instant. exit, if not
// nil, runs in the kernel when main has returned. The program's context ends
// with the run; a program that does not heed it is reported by name.
// Kernel only, and only while a run is on.
func (o *Origin) Go(name string, main func(p *Proc), exit func(now Time)) *Proc {
	o.procs++
	p := &Proc{origin: o, name: name, key: uint64(o.ID())<<32 | uint64(o.procs), exit: exit}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	p.self = p.NewCaller()
	k := o.kernel
	k.procs = append(k.procs, p)
	k.driver.catchUp(k.now)
	go p.run(main)
	return p
}

func (p *Proc) run(main func(p *Proc)) {
	var fault error
	defer func() {
		p.self.Post(func(now Time) { p.ended(now, fault) })
	}()
	defer func() {
		if r := recover(); r != nil {
			fault = fmt.Errorf("%s panicked: %v\n%s", p, r, debug.Stack())
		}
	}()
	// The kernel lets programs begin one after the other, as it wakes them.
	p.self.Call(func(Time) { p.self.Return() })
	main(p)
}

func (p *Proc) ended(now Time, fault error) {
	k := p.origin.kernel
	k.procs = slices.DeleteFunc(k.procs, func(q *Proc) bool { return q == p })
	p.Stop(ErrEnded)
	if fault != nil && k.fault == nil {
		k.fault = fault
	}
	if p.exit != nil {
		p.exit(now)
	}
}

// Context ends when the program is to stop.
func (p *Proc) Context() context.Context { return p.ctx }

// AtStop has f run in the kernel when the program ends or is stopped: as on
// Unix, what a program leaves open is closed for it. Kernel only.
func (p *Proc) AtStop(f func(now Time)) { p.atStop = append(p.atStop, f) }

// Stop ends the program's context and closes what it has open; its calls that
// wait return. Kernel only.
func (p *Proc) Stop(cause error) {
	p.cancel(cause)
	for _, f := range p.atStop {
		f(p.origin.Now())
	}
	p.atStop = nil
}

// String names the program and its node.
func (p *Proc) String() string { return fmt.Sprintf("%q on %s", p.name, p.origin.name) }

// Number is the program's number on its node, from 1, by the order of starts.
func (p *Proc) Number() uint32 { return uint32(p.key) }

// Origin is the node the program runs on.
func (p *Proc) Origin() *Origin { return p.origin }

type call struct {
	caller *Caller
	seq    uint64
	do     func(now Time)
}

// Caller is one line of requests from a program to the kernel: one direction of
// a socket, say. Its calls are numbered, and that number is their order among
// calls of the same instant. Any goroutine may Post, one at a time may Call.
type Caller struct {
	proc  *Proc
	id    uint64
	seq   uint64
	reply chan struct{}
}

// NewCaller opens a line of requests.
func (p *Proc) NewCaller() *Caller {
	return &Caller{proc: p, id: p.callers.Add(1), reply: make(chan struct{}, 1)}
}

// Call has the kernel run do and waits until Return is called for it, in do or
// by a later event.
func (c *Caller) Call(do func(now Time)) {
	c.Post(do)
	<-c.reply
}

// Post has the kernel run do and does not wait.
func (c *Caller) Post(do func(now Time)) {
	k := c.proc.origin.kernel
	k.mu.Lock()
	c.seq++
	k.asked = append(k.asked, call{c, c.seq, do})
	first := len(k.asked) == 1
	k.asking.Store(true)
	k.mu.Unlock()
	if first {
		k.driver.wake()
	}
}

// Return lets the waiting Call go on. Kernel only, once for each Call.
func (c *Caller) Return() {
	k := c.proc.origin.kernel
	k.ready = append(k.ready, c)
}
