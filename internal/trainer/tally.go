package trainer

import (
	"encoding/binary"
	"math"

	"ringmaster/internal/model"
)

// Kinds of gathered records.
const (
	KindTally      uint8 = 1 // one record a seat and step
	KindEvaluation uint8 = 2 // one record a seat and evaluation
	KindStatistics uint8 = 3 // batch statistics of one seat and step
	KindNoise      uint8 = 4 // of the gradient of one seat and step
)

// A tally record, 48 bytes little-endian, one a seat:
//
//	 0  loss sum     float64
//	 8  count        uint64   samples or valid target tokens
//	16  correct      uint64
//	24  not finite   uint64   1 where the loss is NaN or infinite
//	32  flags        uint64   of the seat's worker, folded by or
//	40  weight       float64  of the classes of the targets that count, 0 where these have no weights
//
// Sums are folded in seat order, so they do not depend on who sits where. Flags are hints for the moment and may
// differ when a step is computed again.
const recordLen = 48

// Flags of a tally.
const (
	flagStop  uint64 = 1 << iota // end the job after this step
	flagYield                    // a newer view waits for this step to end
	flagStuck                    // a checkpoint has been on its way for long: do not begin another
	flagSave                     // a checkpoint after this step was asked for
)

type tally struct {
	loss    float64
	weight  float64
	count   uint64
	correct uint64
	flags   uint64
	badSeat int // first seat whose loss is not finite, or -1
}

func putRecord(dst []byte, r model.Result, flags uint64) {
	le := binary.LittleEndian
	le.PutUint64(dst[0:], math.Float64bits(r.Loss))
	le.PutUint64(dst[8:], r.Count)
	le.PutUint64(dst[16:], r.Correct)
	bad := uint64(0)
	if !r.Finite {
		bad = 1
	}
	le.PutUint64(dst[24:], bad)
	le.PutUint64(dst[32:], flags)
	le.PutUint64(dst[40:], math.Float64bits(r.Weight))
}

// fold sums the records of all seats in seat order.
func fold(records []byte) tally {
	le := binary.LittleEndian
	t := tally{badSeat: -1}
	for seat := 0; len(records) >= recordLen; seat, records = seat+1, records[recordLen:] {
		t.loss += math.Float64frombits(le.Uint64(records[0:]))
		t.weight += math.Float64frombits(le.Uint64(records[40:]))
		t.count += le.Uint64(records[8:])
		t.correct += le.Uint64(records[16:])
		if le.Uint64(records[24:]) != 0 && t.badSeat < 0 {
			t.badSeat = seat
		}
		t.flags |= le.Uint64(records[32:])
	}
	return t
}

// divisor is what the sums over targets are divided by, once: the sum of the weights of their classes, or their number where classes have none.
func divisor(weight float64, count uint64) float64 {
	if weight != 0 {
		return weight
	}
	return float64(count)
}

func (t *tally) divisor() float64 { return divisor(t.weight, t.count) }

// orOne is 1 where there is nothing to divide by.
func orOne(divisor float64) float64 {
	if divisor == 0 {
		return 1
	}
	return divisor
}

func floatBits(x float64) uint64 { return math.Float64bits(x) }

// A statistics record has for each of a seat's micro-batches the count of its targets (uint64) and its batch statistics (float32), little-endian.
func statisticsLen(floats int) int { return 8 + 4*floats }

func putStatistics(dst []byte, statistics []float32, count uint64) {
	le := binary.LittleEndian
	le.PutUint64(dst, count)
	for i, x := range statistics {
		le.PutUint32(dst[8+4*i:], math.Float32bits(x))
	}
}

// collectStatistics folds the batch statistics of each micro-batch in seat order, weighted by their counts.
func (t *Trainer) collectStatistics(r *Run) error {
	if len(t.stats) == 0 {
		return nil
	}
	records, err := r.Ring.Collect(KindStatistics)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	clear(t.statCounts)
	for _, sum := range t.statSums {
		clear(sum)
	}
	for k, size := 0, statisticsLen(len(t.stats)); len(records) >= size; k, records = k+1, records[size:] {
		for i := range t.statSeat {
			t.statSeat[i] = math.Float32frombits(le.Uint32(records[8+4*i:]))
		}
		micro, count := k%len(t.statSums), le.Uint64(records)
		model.FoldStatistics(t.statSums[micro], t.statSeat, count)
		t.statCounts[micro] += count
	}
	return nil
}
