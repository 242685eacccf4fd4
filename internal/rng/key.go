package rng

// derivation marks the counters from which keys are made, in the word that is 0 when numbers are drawn.
const derivation = 0x6B657973

// Streams: the first number after the seed in a key's path. Two uses of one seed must not share a stream.
const (
	streamSeat  = 1 // then step, seat, micro-batch
	streamOrder = 2 // then epoch
	streamInit  = 3 // then the tensor's number
	streamSet   = 4 // generated data: then set, sample
	streamShift = 5 // where an epoch's windows begin: then epoch
	streamSplit = 6 // the rows of a table into parts
	streamFixed = 7 // what an evaluation draws
	streamTrial = 8 // the settings of a sweep's trials: then the setting
)

// NewKey is the key of a path of numbers that begins at a seed: NewKey(seed, a, b) = root(seed).Derive(a).Derive(b).
// Paths of different lengths or numbers give unrelated keys (equal ones with a chance of 2^-64 a pair).
func NewKey(seed uint64, path ...uint64) Key {
	k := Key{uint32(seed), uint32(seed >> 32)}.Derive(0)
	for _, n := range path {
		k = k.Derive(n)
	}
	return k
}

// Derive is the key of the n-th stream below k, for instance that of a layer below the key of a seat: the first two
// words that Philox makes under k of the counter (n low, n high, 0, derivation).
func (k Key) Derive(n uint64) Key {
	words := philox(k, [4]uint32{uint32(n), uint32(n >> 32), 0, derivation})
	return Key{words[0], words[1]}
}

// SeatKey is the key of all that a seat draws in one micro-batch of one step: augmentation and dropout, each of which
// derives streams of its own from it. Step is the number of updates made before.
func SeatKey(seed, step, seat, microBatch uint64) Key {
	return NewKey(seed, streamSeat, step, seat, microBatch)
}

// OrderKey is the key of the order in which an epoch (from 0) takes its samples.
func OrderKey(seed, epoch uint64) Key { return NewKey(seed, streamOrder, epoch) }

// ShiftKey is the key of the place at which an epoch (from 0) begins to cut a text into windows.
func ShiftKey(seed, epoch uint64) Key { return NewKey(seed, streamShift, epoch) }

// InitKey is the key of the initial values of the model's tensor-th tensor.
func InitKey(seed, tensor uint64) Key { return NewKey(seed, streamInit, tensor) }

// SetKey is the key from which a generated data set (training 0, evaluation 1, ...) draws its sample-th sample.
func SetKey(seed, set, sample uint64) Key { return NewKey(seed, streamSet, set, sample) }

// SplitKey is the key by which the rows of a table are split into parts.
func SplitKey(seed uint64) Key { return NewKey(seed, streamSplit) }

// TrialKey gives what a sweep draws for a setting.
func TrialKey(seed, setting uint64) Key { return NewKey(seed, streamTrial, setting) }

// FixedKey is the key of what an evaluation draws, whatever the job's seed: so that evaluations compare.
func FixedKey() Key { return NewKey(0, streamFixed) }
