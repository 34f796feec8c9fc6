package link

// ring is a queue in storage that grows by doubling and is never given back.
// The zero ring is empty and has no storage.
type ring[T any] struct {
	items []T // the length is a power of two
	head  int32
	count int32
}

// ringMin is the storage a ring starts with: a link that carries a frame now
// and then never needs more.
const ringMin = 2

func (r *ring[T]) len() int { return int(r.count) }

// at is the item with i before it.
// Precondition: i < len.
func (r *ring[T]) at(i int) *T { return &r.items[(int(r.head)+i)&(len(r.items)-1)] }

func (r *ring[T]) push(v T) {
	if int(r.count) == len(r.items) {
		grown := make([]T, max(ringMin, 2*len(r.items)))
		n := copy(grown, r.items[r.head:])
		copy(grown[n:], r.items[:r.head])
		r.items, r.head = grown, 0
	}
	r.count++
	*r.at(int(r.count) - 1) = v
}

// pop takes the first item out.
// Precondition: len > 0.
func (r *ring[T]) pop() T {
	first := r.at(0)
	v := *first
	var none T
	*first = none // or the storage would hold on to what v points to
	r.head = (r.head + 1) & int32(len(r.items)-1)
	r.count--
	return v
}
