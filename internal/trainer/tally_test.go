package trainer

import (
	"math"
	"slices"
	"testing"

	"ringmaster/internal/model"
)

// Sums go in seat order, which their bits show; the first bad seat is named; flags are joined.
func TestFoldOfTallies(t *testing.T) {
	var records []byte
	for seat, loss := range []float64{1, 0x1p53, math.NaN(), 1, math.Inf(1)} {
		r := model.Result{Loss: loss, Count: uint64(seat + 1), Correct: uint64(seat), Finite: !math.IsNaN(loss) && !math.IsInf(loss, 0)}
		record := make([]byte, recordLen)
		putRecord(record, r, []uint64{0, flagStop, 0, flagStuck, 0}[seat])
		records = append(records, record...)
	}
	got := fold(records)
	if got.count != 15 || got.correct != 10 || got.badSeat != 2 || got.flags != flagStop|flagStuck || !math.IsNaN(got.loss) {
		t.Errorf("%+v", got)
	}
	// 1 + 1 + 2^53 is 2^53 + 2; the other way round each 1 would be lost in rounding.
	record := func(seat int) []byte { return records[seat*recordLen : (seat+1)*recordLen] }
	if got := fold(slices.Concat(record(0), record(3), record(1))); got.loss != 0x1p53+2 || got.badSeat != -1 || got.flags != flagStop|flagStuck {
		t.Errorf("in seat order the losses sum to %v (%+v), want 2^53 + 2", got.loss, got)
	}
}
