package sim

// Order ranks events that fall on the same instant: the number of the node that
// caused the event, then how many the node had caused before. It depends on
// nothing but the lab, so it is the same in every run.
type Order uint64

// originShift leaves 2^40 events for each of 2^24 origins.
const originShift = 40

// Origin is the number of the node in the order.
func (o Order) Origin() uint32 { return uint32(o >> originShift) }

// Handler is what a Timer sets off. Fire runs in the kernel.
type Handler interface {
	Fire(now Time)
}

// Timer is one event that can be set, moved and stopped at will; it lies inside
// the thing that it wakes and is never allocated by itself. The zero Timer is
// stopped; it needs a handler before it is set.
type Timer struct {
	handler Handler
	slot    int32 // its place in the queue's heap plus one; 0 when stopped
}

// Init says what the timer sets off.
func (t *Timer) Init(h Handler) { t.handler = h }

// Pending reports whether the timer is set.
func (t *Timer) Pending() bool { return t.slot != 0 }

type entry struct {
	at    Time
	order Order
	timer *Timer
}

// before is the order of all events of a run: time, then origin, then the
// origin's own sequence number. Recordings, fingerprints and the coming cut of
// a lab over several cores rest on it.
func before(a, b *entry) bool {
	return a.at < b.at || a.at == b.at && a.order < b.order
}

// Queue holds timers in their order: a 4-ary heap of values, in which a timer
// knows its own place and so moves without a search. The zero Queue is empty.
type Queue struct {
	heap []entry

	// vacant says that heap[0] is the timer that is firing, and free to be
	// overwritten: most handlers set one timer, which then costs one way down the
	// heap and not two (BenchmarkQueue).
	vacant bool
}

// Len is the number of timers set.
func (q *Queue) Len() int {
	q.fill()
	return len(q.heap)
}

// Next is the instant of the first timer, or Never.
func (q *Queue) Next() Time {
	q.fill()
	if len(q.heap) == 0 {
		return Never
	}
	return q.heap[0].at
}

// Set sets t, or moves it. Never stops it.
func (q *Queue) Set(t *Timer, at Time, order Order) {
	if at == Never {
		q.Stop(t)
		return
	}
	e := entry{at, order, t}
	if t.slot == 0 && q.vacant {
		q.vacant = false
		q.down(0, e)
		return
	}
	q.fill()
	if t.slot == 0 {
		q.heap = append(q.heap, e)
		q.up(len(q.heap)-1, e)
		return
	}
	i := int(t.slot) - 1
	if before(&e, &q.heap[i]) {
		q.up(i, e)
	} else {
		q.down(i, e)
	}
}

// Stop takes t out of the queue; a stopped timer stays stopped.
func (q *Queue) Stop(t *Timer) {
	if t.slot == 0 {
		return
	}
	q.fill()
	i := int(t.slot) - 1
	t.slot = 0
	q.remove(i)
}

// fill closes the gap that the timer that is firing left.
func (q *Queue) fill() {
	if q.vacant {
		q.vacant = false
		q.remove(0)
	}
}

func (q *Queue) remove(i int) {
	last := len(q.heap) - 1
	e := q.heap[last]
	q.heap[last] = entry{}
	q.heap = q.heap[:last]
	if i == last {
		return
	}
	if i > 0 && before(&e, &q.heap[(i-1)/4]) {
		q.up(i, e)
	} else {
		q.down(i, e)
	}
}

// At is the instant t is set to, or Never.
func (q *Queue) At(t *Timer) Time {
	if t.slot == 0 {
		return Never
	}
	return q.heap[t.slot-1].at
}

// FireNext fires the first timer if it is due at now and reports whether it did.
// The timer is stopped before its handler runs, which may set it again.
func (q *Queue) FireNext(now Time) bool {
	q.fill()
	if len(q.heap) == 0 || q.heap[0].at > now {
		return false
	}
	first := q.heap[0]
	first.timer.slot = 0
	q.vacant = true
	first.timer.handler.Fire(first.at)
	q.fill()
	return true
}

// up moves the hole at i towards the root until e fits.
func (q *Queue) up(i int, e entry) {
	h := q.heap
	for i > 0 {
		parent := (i - 1) / 4
		if !before(&e, &h[parent]) {
			break
		}
		h[i] = h[parent]
		h[i].timer.slot = int32(i + 1)
		i = parent
	}
	h[i] = e
	e.timer.slot = int32(i + 1)
}

// down moves the hole at i towards the leaves until e fits.
func (q *Queue) down(i int, e entry) {
	h := q.heap
	for {
		child := 4*i + 1
		if child >= len(h) {
			break
		}
		least := child
		for c, end := child+1, min(child+4, len(h)); c < end; c++ {
			if before(&h[c], &h[least]) {
				least = c
			}
		}
		if !before(&h[least], &e) {
			break
		}
		h[i] = h[least]
		h[i].timer.slot = int32(i + 1)
		i = least
	}
	h[i] = e
	e.timer.slot = int32(i + 1)
}
