package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
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
// and where the job measures the noise of its gradients (train.gradient_noise) behind these
//
//	gradient_square    HistoryPoints   mean over a point's steps of the estimated square of the true gradient's norm
//	gradient_variance  HistoryPoints   likewise, of the sum of the variances of a single target's gradient
//	noise_partial      4               as partial
//
// It is a pure function of the steps done: it does not depend on clocks, workers or restarts.
const (
	HistoryLength = 4*HistoryPoints + 4
	noiseLength   = 2*HistoryPoints + 4
)

// HistoryLen is the length of a history, with noise or without.
func HistoryLen(noise bool) int {
	if noise {
		return HistoryLength + noiseLength
	}
	return HistoryLength
}

var historyTensors = []Tensor{
	{Name: "loss", Shape: []int{HistoryPoints}, Interval: plan.Interval{Begin: 0, End: HistoryPoints}},
	{Name: "accuracy", Shape: []int{HistoryPoints}, Interval: plan.Interval{Begin: HistoryPoints, End: 2 * HistoryPoints}},
	{Name: "learning_rate", Shape: []int{HistoryPoints}, Interval: plan.Interval{Begin: 2 * HistoryPoints, End: 3 * HistoryPoints}},
	{Name: "grad_norm", Shape: []int{HistoryPoints}, Interval: plan.Interval{Begin: 3 * HistoryPoints, End: 4 * HistoryPoints}},
	{Name: "partial", Shape: []int{4}, Interval: plan.Interval{Begin: 4 * HistoryPoints, End: HistoryLength}},
	{Name: "gradient_square", Shape: []int{HistoryPoints}, Interval: plan.Interval{Begin: HistoryLength, End: HistoryLength + HistoryPoints}},
	{Name: "gradient_variance", Shape: []int{HistoryPoints}, Interval: plan.Interval{Begin: HistoryLength + HistoryPoints, End: HistoryLength + 2*HistoryPoints}},
	{Name: "noise_partial", Shape: []int{4}, Interval: plan.Interval{Begin: HistoryLength + 2*HistoryPoints, End: HistoryLength + noiseLength}},
}

// historyTensorsOf are the tensors of a history, with noise or without.
func historyTensorsOf(noise bool) []Tensor {
	if noise {
		return historyTensors
	}
	return historyTensors[:5]
}

// History is the flat vector of a run's history. An empty one keeps nothing.
type History []float32

// NewHistory is the history of a run that has done no step, with the noise of gradients or without.
func NewHistory(noise bool) History { return make(History, HistoryLen(noise)) }

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
	if HistoryStride(step-1) != HistoryStride(step) {
		halve(h[2*HistoryPoints:4*HistoryPoints], false)
	}
	if at, ends := noteMeans(h[:2*HistoryPoints], h[4*HistoryPoints:HistoryLength], step, loss, accuracy); ends {
		h[2*HistoryPoints+at] = float32(rate)
		h[3*HistoryPoints+at] = float32(norm())
	}
}

// Noisy reports whether the history has the noise of gradients.
func (h History) Noisy() bool { return len(h) > HistoryLength }

// NoteNoise adds to a step what was measured of the noise of its gradient. A history that is not Noisy keeps nothing of it.
func (h History) NoteNoise(step uint64, square, variance float64) {
	if h.Noisy() {
		noise := h[HistoryLength:]
		noteMeans(noise[:2*HistoryPoints], noise[2*HistoryPoints:], step, square, variance)
	}
}

// noteMeans adds a step to two columns of means, with the sums of the steps after the last point. Where the step ends a point it returns its place.
func noteMeans(columns, partial []float32, step uint64, x, y float64) (at int, ends bool) {
	stride := HistoryStride(step)
	if HistoryStride(step-1) != stride {
		halve(columns, true)
	}
	if (step-1)%stride == 0 {
		clear(partial)
	}
	xs, ys := grow(partial[:2], x), grow(partial[2:], y)
	if step%stride != 0 {
		return 0, false
	}
	at = int(step/stride) - 1
	columns[at] = float32(xs / float64(stride))
	columns[HistoryPoints+at] = float32(ys / float64(stride))
	clear(partial)
	return at, true
}

// grow adds x to a sum that is kept in two float32: its value, and the rest that this value cannot hold.
func grow(sum []float32, x float64) float64 {
	all := float64(sum[0]) + float64(sum[1]) + x
	sum[0] = float32(all)
	sum[1] = float32(all - float64(sum[0]))
	return all
}

// halve makes one point of each two, in each of two columns: their mean, or the second.
func halve(columns []float32, means bool) {
	for ; len(columns) > 0; columns = columns[HistoryPoints:] {
		for k := range HistoryPoints / 2 {
			first, second := columns[2*k], columns[2*k+1]
			columns[k] = second
			if means {
				columns[k] = float32((float64(first) + float64(second)) / 2)
			}
		}
		clear(columns[HistoryPoints/2 : HistoryPoints])
	}
}

// Point is one point of a run's curve.
type Point struct {
	Step         uint64  // the last that it covers
	Loss         float32 // mean training loss of its steps
	Accuracy     float32 // likewise
	LearningRate float32 // of its last step
	GradNorm     float32 // of the mean gradient at its last step, before it is clipped

	GradSquare, GradVariance float32 // means over its steps; 0 where the history is not Noisy
}

// NoiseScale is the simple noise scale of the point (McCandlish et al. 2018, section 2.2): the variance of a single target's gradient over the
// square of the true gradient. It is the number of targets in a batch at which noise and gradient weigh the same. NaN: not measured, or the estimate of
// the square is not above 0, as where noise hides the gradient.
func (p *Point) NoiseScale() float64 {
	if !(p.GradSquare > 0) {
		return math.NaN()
	}
	return max(float64(p.GradVariance)/float64(p.GradSquare), 0)
}

// Curve is the history as points after step steps. Steps after the last point are not included.
func (h History) Curve(step uint64) []Point {
	if len(h) == 0 || step == 0 {
		return nil
	}
	stride := HistoryStride(step)
	points := make([]Point, step/stride)
	for k := range points {
		points[k] = Point{Step: uint64(k+1) * stride, Loss: h[k], Accuracy: h[HistoryPoints+k], LearningRate: h[2*HistoryPoints+k], GradNorm: h[3*HistoryPoints+k]}
		if h.Noisy() {
			points[k].GradSquare, points[k].GradVariance = h[HistoryLength+k], h[HistoryLength+HistoryPoints+k]
		}
	}
	return points
}

// Thin makes one point of each two of a curve, with the bits that the history would have had if more steps had followed. A point without a second is left out.
func Thin(points []Point) []Point {
	mean := func(a, b float32) float32 { return float32((float64(a) + float64(b)) / 2) }
	thin := make([]Point, len(points)/2)
	for k := range thin {
		a, b := &points[2*k], &points[2*k+1]
		thin[k] = Point{b.Step, mean(a.Loss, b.Loss), mean(a.Accuracy, b.Accuracy), b.LearningRate, b.GradNorm, mean(a.GradSquare, b.GradSquare), mean(a.GradVariance, b.GradVariance)}
	}
	return thin
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
	if noise := h[HistoryLength:]; h.Noisy() {
		columns = append(append(columns, noise[:n]...), noise[HistoryPoints:HistoryPoints+n]...)
	}
	return Digest(columns)
}

// History reads the history that the checkpoint holds, checked by its file's SHA-256.
func (e Entry) History() (History, error) {
	if e.Err != nil {
		return nil, e.Err
	}
	alone := (&Layout{}).WithHistory(false)
	for _, f := range e.Manifest.Files {
		if f.Name != alone.shares[0].Name {
			continue
		}
		if f.Bytes > alone.shares[0].Bytes {
			alone = (&Layout{}).WithHistory(true)
		}
		s := alone.NewState()
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

// HistoryFile is the name of the file that holds a checkpoint's history.
func HistoryFile() string { return (&Layout{}).WithHistory(false).shares[0].Name }

// MaxHistoryFile bounds that file's bytes.
const MaxHistoryFile = 4*(HistoryLength+noiseLength) + 4096

// DecodeHistory reads the history from the bytes of that file.
func DecodeHistory(data []byte) (History, error) {
	alone := (&Layout{}).WithHistory(false)
	if int64(len(data)) > alone.shares[0].Bytes {
		alone = (&Layout{}).WithHistory(true)
	}
	s := alone.NewState()
	f := File{Name: alone.shares[0].Name, Bytes: int64(len(data)), SHA256: sha256.Sum256(data)}
	if err := alone.DecodeShare(bytes.NewReader(data), 0, f, s); err != nil {
		return nil, err
	}
	return s.History, nil
}
