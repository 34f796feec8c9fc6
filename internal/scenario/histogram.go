package scenario

import (
	"math"
	"math/bits"

	"github.com/hopyard/hopyard/internal/sim"
)

// histogram counts durations in buckets whose width grows with the duration: 16
// to each doubling, so that a quantile is right within 1/32. Its size is fixed.
type histogram struct {
	count    uint64
	sum      sim.Duration
	min, max sim.Duration
	buckets  [histogramBuckets]uint64
}

const (
	histogramSteps   = 16 // buckets to each doubling
	histogramBuckets = histogramSteps * 60
)

// add counts a duration; a negative one counts as zero.
func (h *histogram) add(d sim.Duration) {
	d = max(d, 0)
	if h.count == 0 || d < h.min {
		h.min = d
	}
	h.max = max(h.max, d)
	h.count++
	h.sum += d
	h.buckets[bucketOf(d)]++
}

// bucketOf is the number of the bucket: the first ones are one nanosecond wide.
func bucketOf(d sim.Duration) int {
	if d < histogramSteps {
		return int(d)
	}
	shift := bits.Len64(uint64(d)) - bits.Len64(histogramSteps)
	return (shift+1)*histogramSteps + int(uint64(d)>>shift) - histogramSteps
}

// middle is the duration in the middle of a bucket.
func middle(bucket int) sim.Duration {
	if bucket < histogramSteps {
		return sim.Duration(bucket)
	}
	shift := bucket/histogramSteps - 1
	low := uint64(bucket%histogramSteps+histogramSteps) << shift
	return sim.Duration(low + uint64(1)<<shift/2)
}

// avg is the mean.
func (h *histogram) avg() sim.Duration {
	if h.count == 0 {
		return 0
	}
	return h.sum / sim.Duration(h.count)
}

// quantile is the duration that a share q of all do not exceed.
func (h *histogram) quantile(q float64) sim.Duration {
	if h.count == 0 {
		return 0
	}
	rank := max(uint64(math.Ceil(q*float64(h.count))), 1)
	seen := uint64(0)
	for i, n := range h.buckets {
		if seen += n; seen >= rank {
			return min(max(middle(i), h.min), h.max)
		}
	}
	return h.max
}
