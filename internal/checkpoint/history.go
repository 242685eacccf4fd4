package checkpoint

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/bits"

	"ringmaster/internal/plan"
)

// HistoryPoints bounds the points of a run's history. With more steps than that, a point covers two steps, then four, and so on.
const HistoryPoints = 1024

// HistoryLength is the length of a history: one flat vector, so that it is sent and stored like the rest of a state:
//
//	loss           HistoryPoints   mean training loss of a point's steps
//	accuracy       HistoryPoints   likewise, where targets are classes
//	learning_rate  HistoryPoints   of a point's last step
//	grad_norm      HistoryPoints   norm of the mean gradient at a point's last step, before it is clipped
//	partial        4               sums of loss and accuracy over the steps after the last point, each with the rest that
//	                               its float32 does not hold
//
// It is a pure function of the steps done: it does not depend on clocks, workers or restarts.
const HistoryLength = 4*HistoryPoints + 4

var historyTensors = []Tensor{
	{Name: "loss", Shape: []int{HistoryPoints}, Interval: plan.Interval{Begin: 0, End: HistoryPoints}},
	{Name: "accuracy", Shape: []int{HistoryPoints}, Interval: plan.Interval{Begin: HistoryPoints, End: 2 * HistoryPoints}},
	{Name: "learning_rate", Shape: []int{HistoryPoints}, Interval: plan.Interval{Begin: 2 * HistoryPoints, End: 3 * HistoryPoints}},
	{Name: "grad_norm", Shape: []int{HistoryPoints}, Interval: plan.Interval{Begin: 3 * HistoryPoints, End: 4 * HistoryPoints}},
	{Name: "partial", Shape: []int{4}, Interval: plan.Interval{Begin: 4 * HistoryPoints, End: HistoryLength}},
}

// History is the flat vector of a run's history. An empty one keeps nothing.
type History []float32

// NewHistory is the history of a run that has done no step.
func NewHistory() History { return make(History, HistoryLength) }

// HistoryStride is the number of steps that a point covers after step steps: the smallest power of two with which
// HistoryPoints points suffice.
func HistoryStride(step uint64) uint64 {
	if step <= HistoryPoints {
		return 1
	}
	return 1 << bits.Len64((step-1)/HistoryPoints)
}

// Note adds a step, which is the step-th: its mean loss, its accuracy and its learning rate. norm is called only if the
// step ends a point, so the gradient's norm is computed only when it is stored.
func (h History) Note(step uint64, loss, accuracy, rate float64, norm func() float64) {
	if len(h) == 0 {
		return
	}
	stride := HistoryStride(step)
	if before := HistoryStride(step - 1); before != stride {
		h.halve()
	}
	partial := h[4*HistoryPoints:]
	if (step-1)%stride == 0 {
		clear(partial)
	}
	losses, accuracies := grow(partial[:2], loss), grow(partial[2:], accuracy)
	if step%stride != 0 {
		return
	}
	at := int(step/stride) - 1
	h[at] = float32(losses / float64(stride))
	h[HistoryPoints+at] = float32(accuracies / float64(stride))
	h[2*HistoryPoints+at] = float32(rate)
	h[3*HistoryPoints+at] = float32(norm())
	clear(partial)
}

// grow adds x to a sum that is kept in two float32: its value, and the rest that this value cannot hold.
func grow(sum []float32, x float64) float64 {
	all := float64(sum[0]) + float64(sum[1]) + x
	sum[0] = float32(all)
	sum[1] = float32(all - float64(sum[0]))
	return all
}

// halve makes one point of each two.
func (h History) halve() {
	for k := range HistoryPoints / 2 {
		for c := range 4 {
			column := h[c*HistoryPoints : (c+1)*HistoryPoints]
			first, second := column[2*k], column[2*k+1]
			column[k] = second
			if c < 2 {
				column[k] = float32((float64(first) + float64(second)) / 2)
			}
		}
	}
	for c := range 4 {
		clear(h[c*HistoryPoints+HistoryPoints/2 : (c+1)*HistoryPoints])
	}
}

// Point is one point of a run's curve.
type Point struct {
	Step         uint64  // the last that it covers
	Loss         float32 // mean training loss of its steps
	Accuracy     float32 // likewise
	LearningRate float32 // of its last step
	GradNorm     float32 // of the mean gradient at its last step, before it is clipped
}

// Curve is the history as points after step steps. Steps after the last point are not included.
func (h History) Curve(step uint64) []Point {
	if len(h) == 0 || step == 0 {
		return nil
	}
	stride := HistoryStride(step)
	points := make([]Point, step/stride)
	for k := range points {
		points[k] = Point{uint64(k+1) * stride, h[k], h[HistoryPoints+k], h[2*HistoryPoints+k], h[3*HistoryPoints+k]}
	}
	return points
}

// Digest is the SHA-256 over the points' columns as they are stored, little-endian: equal curves have equal digests.
func (h History) Digest(step uint64) Hash {
	if len(h) == 0 {
		return sha256.Sum256(nil)
	}
	n := int(step / HistoryStride(step))
	var columns []float32
	for c := range 4 {
		columns = append(columns, h[c*HistoryPoints:c*HistoryPoints+n]...)
	}
	return Digest(columns)
}

// History reads the history that the checkpoint holds, checked by its file's SHA-256.
func (e Entry) History() (History, error) {
	if e.Err != nil {
		return nil, e.Err
	}
	alone := (&Layout{}).WithHistory()
	s := alone.NewState()
	for _, f := range e.Manifest.Files {
		if f.Name != alone.shares[0].Name {
			continue
		}
		err := loadShare(alone, 0, f, s, func(name string) (io.ReadCloser, error) {
			r, _, err := e.store.OpenFile(e.Folder(), name)
			return r, err
		})
		if err != nil {
			return nil, e.failed(err)
		}
		return s.History, nil
	}
	return nil, fmt.Errorf("the checkpoint at step %d holds no history: it was written by an earlier version", e.Step)
}
