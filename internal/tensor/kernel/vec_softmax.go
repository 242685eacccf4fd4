package kernel

import "fmt"

// Softmax normalises each row: dst[r,c] = e^(x[r,c]-m) / sum, m the row's maximum, the sum by the lane rule. The division
// is one true division of 1 by the sum and a product for each element. dst and x are (rows, cols).
func Softmax(dst, x []float32, rows, cols int) {
	fits("Softmax", len(dst), rows, cols)
	sameLength("Softmax", len(dst), len(x))
	for r := 0; r < rows; r++ {
		row := dst[r*cols : (r+1)*cols]
		sum, _ := expRow(row, x[r*cols:(r+1)*cols])
		Scale(row, 1/sum, row)
	}
}

// expRow sets dst[i] = e^(x[i]-m), m being the maximum of x, and returns the lane sum of dst and m.
func expRow(dst, x []float32) (sum, m float32) {
	m = Max(x)
	var l [lanes]float32
	expSumVec(&l, dst, x, m)
	return foldLanes(&l), m
}

func expSumGo(l *[lanes]float32, dst, x []float32, m float32) {
	for i, v := range x {
		e := expDown1(v - m)
		dst[i] = e
		l[i%lanes] += e
	}
}

// ExpScaleShiftSum sets dst[i] = e^(a*x[i] + b), the argument rounded once, and returns Sum(dst): a step of an online
// softmax whose scores are still to be scaled by a, b being minus the largest scaled score. Arguments are at most 88; below -87.7
// the result is 0.
func ExpScaleShiftSum(dst, x []float32, a, b float32) float32 {
	sameLength("ExpScaleShiftSum", len(dst), len(x))
	var l [lanes]float32
	expScaleShiftSumVec(&l, dst, x, a, b)
	return foldLanes(&l)
}

func expScaleShiftSumGo(l *[lanes]float32, dst, x []float32, a, b float32) {
	for i, v := range x {
		e := expDown1(FMA(a, v, b))
		dst[i] = e
		l[i%lanes] += e
	}
}

// ExpScaleShift sets dst[i] as ExpScaleShiftSum does.
func ExpScaleShift(dst, x []float32, a, b float32) {
	sameLength("ExpScaleShift", len(dst), len(x))
	expScaleShiftVec(dst, x, a, b)
}

func expScaleShiftGo(dst, x []float32, a, b float32) {
	for i, v := range x {
		dst[i] = expDown1(FMA(a, v, b))
	}
}

// ScaleShiftMul sets dst[i] = (a*x[i] + b) * y[i], the sum rounded once: the gradient of a softmax's scores from those of
// the probabilities y, with a the scale of the scores and b minus a times the row's dot product.
func ScaleShiftMul(dst, x, y []float32, a, b float32) {
	sameLength("ScaleShiftMul", len(dst), len(x), len(y))
	scaleShiftMulVec(dst, x, y, a, b)
}

func scaleShiftMulGo(dst, x, y []float32, a, b float32) {
	for i, v := range x {
		dst[i] = FMA(a, v, b) * y[i]
	}
}

// SoftmaxBackward sets dx[r,c] = y[r,c] * (dy[r,c] - Dot(dy[r], y[r])), y being Softmax's output. All are (rows, cols).
func SoftmaxBackward(dx, dy, y []float32, rows, cols int) {
	fits("SoftmaxBackward", len(dx), rows, cols)
	sameLength("SoftmaxBackward", len(dx), len(dy), len(y))
	for r := 0; r < rows; r++ {
		at, to := r*cols, (r+1)*cols
		softmaxBackwardVec(dx[at:to], dy[at:to], y[at:to], Dot(dy[at:to], y[at:to]))
	}
}

func softmaxBackwardGo(dx, dy, y []float32, dot float32) {
	for i, v := range y {
		dx[i] = v * (dy[i] - dot)
	}
}

// CrossEntropy is the cross-entropy of softmax(logits) against class targets, summed over the rows, and the gradient of
// that sum (not of the mean). logits and dlogits are (rows, cols); dlogits may be nil (no gradient wanted) or logits
// itself. A row whose target is ignore adds nothing and has gradient 0. With smoothing s in [0, 1) the wanted
// distribution is (1-s) at the target plus s/cols everywhere. It returns the sum of the losses, folded over the rows in
// ascending order, the number of rows counted, and how many of them have their maximum (the lowest index of equals) at
// the target. Other targets outside [0, cols) panic.
func CrossEntropy(dlogits, logits []float32, targets []int32, rows, cols int, ignore int32, smoothing float32) (lossSum float64, count, correct int) {
	var losses [entropyBlock]float64
	checkCrossEntropy(dlogits, logits, targets, rows, cols)
	for begin := 0; begin < rows; begin += entropyBlock {
		end := min(begin+entropyBlock, rows)
		part := losses[:end-begin]
		n, right := crossEntropyBlock(part, rowsOf(dlogits, begin, end, cols), rowsOf(logits, begin, end, cols), targets[begin:end], cols, ignore, smoothing)
		for _, loss := range part {
			lossSum += loss
		}
		count, correct = count+n, correct+right
	}
	return lossSum, count, correct
}

// CrossEntropyRows is CrossEntropy with the loss of each row left in losses (0 for an ignored row), so that rows can be
// split between threads and the losses folded afterwards in ascending order; the result is then CrossEntropy's.
func CrossEntropyRows(losses []float64, dlogits, logits []float32, targets []int32, rows, cols int, ignore int32, smoothing float32) (count, correct int) {
	checkCrossEntropy(dlogits, logits, targets, rows, cols)
	sameLength("CrossEntropyRows", rows, len(losses))
	for begin := 0; begin < rows; begin += entropyBlock {
		end := min(begin+entropyBlock, rows)
		n, right := crossEntropyBlock(losses[begin:end], rowsOf(dlogits, begin, end, cols), rowsOf(logits, begin, end, cols), targets[begin:end], cols, ignore, smoothing)
		count, correct = count+n, correct+right
	}
	return count, correct
}

// entropyBlock is the number of rows whose logarithms are taken at once.
const entropyBlock = 64

func checkCrossEntropy(dlogits, logits []float32, targets []int32, rows, cols int) {
	fits("CrossEntropy", len(logits), rows, cols)
	sameLength("CrossEntropy", rows, len(targets))
	if dlogits != nil {
		sameLength("CrossEntropy", len(logits), len(dlogits))
	}
}

// rowsOf is the rows [begin, end) of x, nil for nil.
func rowsOf(x []float32, begin, end, cols int) []float32 {
	if x == nil {
		return nil
	}
	return x[begin*cols : end*cols]
}

func crossEntropyBlock(losses []float64, d, logits []float32, targets []int32, cols int, ignore int32, smoothing float32) (count, correct int) {
	var sums [entropyBlock]float32
	for r, target := range targets {
		row := rowsOf(d, r, r+1, cols)
		if target == ignore {
			losses[r], sums[r] = 0, 1
			clear(row)
			continue
		}
		var right bool
		losses[r], sums[r], right = crossEntropyRow(row, logits[r*cols:(r+1)*cols], target, smoothing)
		count++
		if right {
			correct++
		}
	}
	// The loss of a row is the logarithm of its sum more.
	logs := sums[:len(targets)]
	Log(logs, logs)
	for r, target := range targets {
		if target != ignore {
			losses[r] += float64(logs[r])
		}
	}
	return count, correct
}

// crossEntropyRow gives the loss of a row without the logarithm of the sum of e^(x-max), that sum, and whether the maximum
// is at the target. The differences are taken in float64, so that their cancellation costs nothing.
func crossEntropyRow(d, x []float32, target int32, smoothing float32) (rest float64, sum float32, right bool) {
	cols := len(x)
	if target < 0 || int(target) >= cols {
		panic(fmt.Sprintf("kernel: CrossEntropy: target %d is outside the %d classes", target, cols))
	}
	m, at := Max(x), x[target]
	right = at == m && ArgMax(x[:target+1]) == int(target)
	rest = float64(m) - float64(at)
	if smoothing != 0 { // mixed with the mean of the losses against all classes; read before d, which may be x, is written
		uniform := float64(m) - float64(Sum(x))/float64(cols)
		rest += float64(float64(smoothing) * (uniform - rest))
	}
	var l [lanes]float32
	if d == nil {
		expSumOnlyVec(&l, x, m)
		return rest, foldLanes(&l), right
	}
	expSumVec(&l, d, x, m)
	sum = foldLanes(&l)
	if smoothing == 0 {
		Scale(d, 1/sum, d)
	} else {
		ScaleShift(d, d, 1/sum, -smoothing/float32(cols))
	}
	d[target] -= 1 - smoothing
	return rest, sum, right
}

func expSumOnlyGo(l *[lanes]float32, x []float32, m float32) {
	for i, v := range x {
		l[i%lanes] += expDown1(v - m)
	}
}
