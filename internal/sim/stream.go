package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
)

// Stream is one thing's own sequence of random numbers. It depends on the lab's
// seed and the thing's name alone, so a node that is added to a lab does not
// change what another one draws.
type Stream struct {
	pcg rand.PCG
}

// NewStream returns the stream of the thing called name in a lab with this seed.
func NewStream(seed uint64, name string) *Stream {
	text := binary.BigEndian.AppendUint64(nil, seed)
	sum := sha256.Sum256(append(text, name...))
	s := &Stream{}
	s.pcg.Seed(binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:]))
	return s
}

// Uint64 draws 64 bits.
func (s *Stream) Uint64() uint64 { return s.pcg.Uint64() }

// Float64 draws from [0, 1).
func (s *Stream) Float64() float64 { return float64(s.Uint64()>>11) / (1 << 53) }

// Chance is true with probability p. It draws even where p is 0 or 1, so that
// changing p changes nothing else.
func (s *Stream) Chance(p float64) bool { return s.Float64() < p }

// Intn draws from [0, n). It panics if n <= 0.
func (s *Stream) Intn(n int) int {
	if n <= 0 {
		panic("sim: Intn of a range that is empty")
	}
	high, _ := bits.Mul64(s.Uint64(), uint64(n))
	return int(high)
}

// Between draws a duration from [low, high].
func (s *Stream) Between(low, high Duration) Duration {
	if high <= low {
		return low
	}
	span, _ := bits.Mul64(s.Uint64(), uint64(high-low)+1)
	return low + Duration(span)
}

// Exp draws from the exponential distribution with mean 1, the gap between
// events of a Poisson process.
func (s *Stream) Exp() float64 { return -math.Log(1 - s.Float64()) }

// Normal draws from the standard normal distribution (Box-Muller).
func (s *Stream) Normal() float64 {
	radius := math.Sqrt(2 * s.Exp())
	return radius * math.Cos(2*math.Pi*s.Float64())
}
