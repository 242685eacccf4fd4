package dataset

import (
	"cmp"
	"fmt"
	"slices"

	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
)

// Sampler is the order in which one epoch takes the samples of a training set: a permutation that is a pure function of
// (seed, epoch, number of samples). It is materialised, four bytes a sample: shuffling 60,000 samples takes about a
// millisecond, once an epoch, and then a look-up costs nothing.
type Sampler struct {
	seed, epoch uint64
	samples     []int32
	shift       int32 // added to each, see Data.Sampler
}

// NewSampler is the order of epoch epoch (from 0) over n samples.
func NewSampler(seed, epoch uint64, n int) *Sampler {
	o := &Sampler{samples: make([]int32, n)}
	o.Reset(seed, epoch)
	return o
}

// Sampler is the order of epoch epoch (from 0) over the training set. For text it moves, beyond the permutation of the
// windows, the place at which the epoch begins to cut them by a number of tokens drawn from (seed, epoch), so that
// window borders fall elsewhere in each epoch. With data.balance it is no permutation: classes are drawn equally often.
func (d *Data) Sampler(seed, epoch uint64) *Sampler {
	o := NewSampler(seed, epoch, d.Train.Len())
	if d.classes != nil {
		d.classes.fill(o.samples, rng.OrderKey(seed, epoch))
	}
	o.shift = d.Train.shift(rng.ShiftKey(seed, epoch))
	return o
}

// SortBatches sorts the samples of each global batch by length where the job says so (data.by_length); those of one length stay as they
// were. The batches' samples are the same ones, but seats take samples of like length.
func (d *Data) SortBatches(o *Sampler, batch int) {
	if d.lengths == nil {
		return
	}
	for part := range slices.Chunk(o.samples, batch) {
		slices.SortStableFunc(part, func(a, b int32) int { return cmp.Compare(d.lengths[a], d.lengths[b]) })
	}
}

// Reset makes o the unshifted order of another epoch over as many samples, without allocating.
func (o *Sampler) Reset(seed, epoch uint64) {
	o.seed, o.epoch, o.shift = seed, epoch, 0
	rng.OrderKey(seed, epoch).Shuffle(o.samples)
}

// Epoch is the epoch that o is the order of.
func (o *Sampler) Epoch() uint64 { return o.epoch }

// Len is the number of samples of the epoch.
func (o *Sampler) Len() int { return len(o.samples) }

// At is the number of the sample at position i of the epoch.
func (o *Sampler) At(i int) int { return int(o.samples[i] + o.shift) }

// Fill sets dst to the numbers of the samples at the positions of the interval. It panics where their lengths differ.
func (o *Sampler) Fill(dst []int32, positions plan.Interval) {
	if len(dst) != positions.Len() {
		panic(fmt.Sprintf("dataset: %d numbers for the positions %v", len(dst), positions))
	}
	copy(dst, o.samples[positions.Begin:positions.End])
	if o.shift != 0 {
		for i := range dst {
			dst[i] += o.shift
		}
	}
}
