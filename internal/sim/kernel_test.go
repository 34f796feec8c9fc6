package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// alarm is a timer of a node, for tests.
type alarm struct {
	timer Timer
	do    func(now Time)
}

func (a *alarm) Fire(now Time) { a.do(now) }

func (o *Origin) after(t Time, do func(now Time)) *alarm {
	a := &alarm{do: do}
	a.timer.Init(a)
	o.Set(&a.timer, t)
	return a
}

// sleep is a call that an event answers.
func sleepInKernel(c *Caller, d Duration) (woken Time) {
	c.Call(func(now Time) {
		c.proc.origin.after(now.Add(d), func(now Time) { woken = now; c.Return() })
	})
	return woken
}

func play(t *testing.T, k *Kernel, until Time, setUp func()) error {
	t.Helper()
	return k.RunVirtual(context.Background(), until, setUp, nil)
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestEventsOfOneInstantGoByOrigin(t *testing.T) {
	k := New()
	a, b := k.NewOrigin("a"), k.NewOrigin("b")
	var log []string
	note := func(what string) func(Time) {
		return func(now Time) { log = append(log, fmt.Sprintf("%d %s", now, what)) }
	}
	b.after(5, note("b1"))
	a.after(5, note("a1"))
	a.after(5, note("a2"))
	b.after(3, note("b2"))
	early := a.Next()
	stopped := a.after(4, note("stopped"))
	late := b.after(9, note("moved"))
	numbered := &alarm{do: note("numbered early")}
	numbered.timer.Init(numbered)
	a.after(1, func(Time) {
		a.SetOrder(&numbered.timer, 5, early)
		a.Stop(&stopped.timer)
		b.Set(&late.timer, 6)
	})
	a.after(20, note("past the end"))
	if err := play(t, k, 10, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"3 b2", "5 a1", "5 a2", "5 numbered early", "5 b1", "6 moved"}
	if !slices.Equal(log, want) || k.Now() != 10 || k.Reached() != 10 || k.Events() != 7 {
		t.Errorf("got %q, at %v, %d events; want %q", log, k.Now(), k.Events(), want)
	}
}

func TestRunEnds(t *testing.T) {
	for name, test := range map[string]struct {
		until Time
		at5   func(k *Kernel)
		want  Time
	}{
		"with the last event":  {Never, func(*Kernel) {}, 100},
		"at until, included":   {7, func(*Kernel) {}, 7},
		"by End":               {Never, (*Kernel).End, 5},
		"by EndAt":             {Never, func(k *Kernel) { k.EndAt(50) }, 50},
		"by EndAt in the past": {Never, func(k *Kernel) { k.EndAt(1) }, 5},
	} {
		k := New()
		o := k.NewOrigin("a")
		fired := []Time{}
		for _, at := range []Time{5, 7, 100} {
			o.after(at, func(now Time) { fired = append(fired, now) })
		}
		o.after(5, func(Time) { test.at5(k) })
		finished := false
		if err := k.RunVirtual(context.Background(), test.until, nil, func() { finished = true }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if k.Now() != test.want || !finished {
			t.Errorf("%s: ended at %v, want %v", name, k.Now(), test.want)
		}
		for _, at := range []Time{5, 7, 100} {
			if slices.Contains(fired, at) != (at <= test.want) {
				t.Errorf("%s: fired %v", name, fired)
			}
		}
	}
}

func TestBrokenInvariantIsReported(t *testing.T) {
	k := New()
	k.NewOrigin("a").after(5, func(Time) { panic("boom") })
	wantError(t, play(t, k, Never, nil), "hopyard is broken at 0.000000005s: boom", "kernel_test.go")
}

func TestContextEndsRun(t *testing.T) {
	for name, run := range map[string]func(*Kernel, context.Context) error{
		"virtual": func(k *Kernel, ctx context.Context) error { return k.RunVirtual(ctx, Never, nil, nil) },
		"live":    func(k *Kernel, ctx context.Context) error { return k.RunLive(ctx, Never, nil, nil) },
	} {
		k := New()
		o := k.NewOrigin("a")
		ctx, cancel := context.WithCancelCause(context.Background())
		var again *alarm
		n := 0
		again = o.after(0, func(now Time) {
			if n++; n == 10 {
				cancel(errors.New("enough"))
			}
			o.Set(&again.timer, now+1)
		})
		err := run(k, ctx)
		wantError(t, err, "stopped before its end", "enough")
		if !errors.Is(err, ErrStopped) {
			t.Errorf("%s: %v is not ErrStopped", name, err)
		}
	}
}

func TestContextEndsABusyInstant(t *testing.T) {
	k := New()
	o := k.NewOrigin("a")
	ctx, cancel := context.WithCancel(context.Background())
	var again *alarm
	again = o.after(0, func(now Time) { cancel(); o.Set(&again.timer, now) })
	if err := k.RunVirtual(ctx, Never, nil, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestProgramsSleepInVirtualTime(t *testing.T) {
	k := New()
	o := k.NewOrigin("a")
	var log []string
	began := time.Now()
	err := play(t, k, Never, func() {
		o.Go("sleeper", func(p *Proc) {
			c := p.NewCaller()
			time.Sleep(24 * time.Hour) // its own timer
			c.Call(func(now Time) { log = append(log, "slept until "+now.String()); c.Return() })
			log = append(log, "woken at "+sleepInKernel(c, time.Hour).String())
			c.Post(func(now Time) { log = append(log, "posted at "+now.String()) })
		}, func(now Time) { log = append(log, "ended at "+now.String()) })
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"slept until 86400.000000000s", "woken at 90000.000000000s", "posted at 90000.000000000s", "ended at 90000.000000000s"}
	slices.Sort(want)
	slices.Sort(log) // Post and the exit are of two callers
	if !slices.Equal(log, want) {
		t.Errorf("got %q, want %q", log, want)
	}
	if real := time.Since(began); real > 10*time.Second {
		t.Errorf("took %v of real time", real)
	}
}

// A program that is started late finds the clock where the run is.
func TestProgramStartedLate(t *testing.T) {
	k := New()
	o := k.NewOrigin("a")
	var at []Time
	for _, start := range []Time{1e9, 3600e9} {
		o.after(start, func(Time) {
			o.Go("late", func(p *Proc) {
				time.Sleep(time.Second)
				p.self.Call(func(now Time) { at = append(at, now); p.self.Return() })
			}, nil)
		})
	}
	if err := play(t, k, Never, nil); err != nil {
		t.Fatal(err)
	}
	if want := []Time{2e9, 3601e9}; !slices.Equal(at, want) {
		t.Errorf("at %v, want %v", at, want)
	}
}

// callsAtOneInstant runs programs on several nodes, each with several
// goroutines, all of which wake at the same instants and ask at once.
func callsAtOneInstant() (string, error) {
	k := New()
	var log []string
	var nodes []*Origin
	for i := range 4 {
		nodes = append(nodes, k.NewOrigin(fmt.Sprint("n", i)))
	}
	main := func(p *Proc) {
		var all sync.WaitGroup
		for g := range 5 {
			c := p.NewCaller()
			all.Go(func() {
				for i := range 4 {
					time.Sleep(time.Millisecond)
					c.Post(func(now Time) { log = append(log, fmt.Sprintf("%v %v %d post %d", now, p, g, i)) })
					c.Call(func(now Time) {
						log = append(log, fmt.Sprintf("%v %v %d call %d", now, p, g, i))
						p.origin.after(now+Time(i%2), func(Time) { c.Return() })
					})
				}
			})
		}
		all.Wait()
	}
	err := k.RunVirtual(context.Background(), Never, func() {
		for _, o := range nodes {
			for i := range 2 {
				o.Go(fmt.Sprint("p", i), main, nil)
			}
		}
	}, nil)
	return strings.Join(log, "\n"), err
}

func TestSchedulerHasNoSay(t *testing.T) {
	first, err := callsAtOneInstant()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(first, "\n") + 1; n != 4*2*5*4*2 {
		t.Fatalf("%d calls", n)
	}
	for _, procs := range []int{1, 2} {
		was := runtime.GOMAXPROCS(procs)
		for run := range 50 {
			if again, err := callsAtOneInstant(); err != nil || again != first {
				t.Errorf("GOMAXPROCS=%d: run %d differs (%v)", procs, run, err)
				break
			}
		}
		runtime.GOMAXPROCS(was)
	}
}

func TestProgramsAreResumedOneByOne(t *testing.T) {
	k := New()
	inside := 0
	err := play(t, k, Never, func() {
		for i := range 20 {
			o := k.NewOrigin(fmt.Sprint(i))
			o.Go("p", func(p *Proc) {
				for range 10 {
					sleepInKernel(p.self, time.Second)
					if inside++; inside != 1 { // the race detector would find it too
						t.Error("two programs run at once")
					}
					runtime.Gosched()
					inside--
				}
			}, nil)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPanicOfAProgram(t *testing.T) {
	k := New()
	exited := false
	err := play(t, k, Never, func() {
		k.NewOrigin("web").Go("server", func(p *Proc) { time.Sleep(time.Second); panic("boom") }, func(Time) { exited = true })
		k.NewOrigin("other").Go("waiter", func(p *Proc) { <-p.Context().Done() }, nil)
	})
	wantError(t, err, `"server" on web panicked: boom`, "kernel_test.go")
	if k.Now() != Time(time.Second) || !exited {
		t.Errorf("at %v, exited %v", k.Now(), exited)
	}
}

func TestProgramsEndWithTheRun(t *testing.T) {
	k := New()
	var log []string
	var mu sync.Mutex // a context that ends wakes its program at once, beside the kernel
	note := func(what string) { mu.Lock(); defer mu.Unlock(); log = append(log, what) }
	o := k.NewOrigin("a")
	err := play(t, k, 10, func() {
		p := o.Go("polite", func(p *Proc) {
			<-p.Context().Done()
			note(context.Cause(p.Context()).Error())
			time.Sleep(time.Second) // time to tidy up
			note("tidy")
		}, func(now Time) { note("exit at " + now.String()) })
		p.AtStop(func(now Time) { note("closed at " + now.String()) })
		var c *Caller
		blocked := o.Go("blocked", func(p *Proc) { c = p.NewCaller(); c.Call(func(Time) {}); note("unblocked") }, nil)
		blocked.AtStop(func(Time) { c.Return() })
	})
	want := []string{"closed at 0.000000010s", "the run has ended", "unblocked", "tidy", "exit at 1.000000010s"}
	slices.Sort(log)
	slices.Sort(want)
	if err != nil || !slices.Equal(log, want) {
		t.Errorf("got %q, %v; want %q", log, err, want)
	}
}

func TestProgramThatDoesNotEndIsNamed(t *testing.T) {
	k := New()
	err := play(t, k, 10, func() {
		k.NewOrigin("a").Go("stubborn", func(p *Proc) {
			for range 600 { // longer than it is given
				time.Sleep(time.Minute)
			}
		}, nil)
	})
	wantError(t, err, "did not stop when the run ended", `"stubborn" on a`)
}

func TestGoroutineLeftBehindIsNamed(t *testing.T) {
	k := New()
	err := play(t, k, Never, func() {
		k.NewOrigin("a").Go("careless", func(p *Proc) { forget() }, nil)
	})
	wantError(t, err, "goroutines were left behind", "sim.forget")
	// The next bubble of the process is none the worse.
	if err := play(t, New(), Never, nil); err != nil {
		t.Error(err)
	}
}

func forget() {
	go func() { <-make(chan int) }()
}

func TestDeadlockNamesThePrograms(t *testing.T) {
	k := New()
	tidied := false
	err := play(t, k, Never, func() {
		k.NewOrigin("web").Go("server", func(p *Proc) {
			<-p.Context().Done()
			time.Sleep(time.Second)
			tidied = true
		}, nil)
		k.NewOrigin("dns").Go("resolver", func(p *Proc) { <-p.Context().Done() }, nil)
	})
	wantError(t, err, "nothing can happen any more", `"server" on web, "resolver" on dns`)
	if strings.Contains(err.Error(), "did not stop") || !tidied || k.Now() != Time(time.Second) {
		t.Errorf("%v, tidied %v, at %v", err, tidied, k.Now())
	}
}

func TestLive(t *testing.T) {
	k := New()
	o := k.NewOrigin("a")
	var log []string
	began := time.Now()
	err := k.RunLive(context.Background(), Time(60*time.Millisecond), func() {
		o.after(Time(20*time.Millisecond), func(now Time) { log = append(log, "event at "+now.String()) })
		o.Go("p", func(p *Proc) {
			woken := sleepInKernel(p.self, 0)
			p.self.Post(func(Time) { log = append(log, "woken at "+woken.String()[:4]) })
			<-p.Context().Done()
		}, nil)
	}, nil)
	if want := []string{"woken at 0.00", "event at 0.020000000s"}; err != nil || !slices.Equal(log, want) {
		t.Errorf("got %q, %v; want %q", log, err, want)
	}
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func TestLiveStopsByContext(t *testing.T) {
	k := New()
	ctx, cancel := context.WithCancel(context.Background())
	err := k.RunLive(ctx, Never, func() {
		k.NewOrigin("a").Go("p", func(p *Proc) {
			time.AfterFunc(5*time.Millisecond, cancel)
			<-p.Context().Done()
			time.Sleep(20 * time.Millisecond)
		}, nil)
	}, nil)
	if !errors.Is(err, ErrStopped) || strings.Contains(err.Error(), "did not stop") {
		t.Error(err)
	}
}

func BenchmarkEvent(b *testing.B) {
	k := New()
	o := k.NewOrigin("a")
	left := b.N
	var again *alarm
	again = o.after(0, func(now Time) {
		if left--; left > 0 {
			o.Set(&again.timer, now+1)
		}
	})
	b.ReportAllocs()
	if err := k.RunVirtual(context.Background(), Never, nil, nil); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSleepAndCall is a program that sleeps and then asks the kernel.
func BenchmarkSleepAndCall(b *testing.B) {
	k := New()
	b.ReportAllocs()
	err := k.RunVirtual(context.Background(), Never, func() {
		k.NewOrigin("a").Go("p", func(p *Proc) {
			back := func(Time) { p.self.Return() }
			for range b.N {
				time.Sleep(time.Millisecond)
				p.self.Call(back)
			}
		}, nil)
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
}
