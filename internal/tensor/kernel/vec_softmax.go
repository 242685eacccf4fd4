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
		e := exp1(v - m)
		dst[i] = e
		l[i%lanes] += e
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
	checkCrossEntropy(dlogits, logits, targets, rows, cols)
	for r := 0; r < rows; r++ {
		if targets[r] == ignore {
			ignoreRow(dlogits, r, cols)
			continue
		}
		loss, right := crossEntropyRow(rowOf(dlogits, r, cols), logits[r*cols:(r+1)*cols], targets[r], smoothing)
		lossSum += loss
		count++
		if right {
			correct++
		}
	}
	return lossSum, count, correct
}

// CrossEntropyRows is CrossEntropy with the loss of each row left in losses (0 for an ignored row), so that rows can be
// split between threads and the losses folded afterwards in ascending order; the result is then CrossEntropy's.
func CrossEntropyRows(losses []float64, dlogits, logits []float32, targets []int32, rows, cols int, ignore int32, smoothing float32) (count, correct int) {
	checkCrossEntropy(dlogits, logits, targets, rows, cols)
	sameLength("CrossEntropyRows", rows, len(losses))
	for r := 0; r < rows; r++ {
		losses[r] = 0
		if targets[r] == ignore {
			ignoreRow(dlogits, r, cols)
			continue
		}
		loss, right := crossEntropyRow(rowOf(dlogits, r, cols), logits[r*cols:(r+1)*cols], targets[r], smoothing)
		losses[r] = loss
		count++
		if right {
			correct++
		}
	}
	return count, correct
}

func checkCrossEntropy(dlogits, logits []float32, targets []int32, rows, cols int) {
	fits("CrossEntropy", len(logits), rows, cols)
	sameLength("CrossEntropy", rows, len(targets))
	if dlogits != nil {
		sameLength("CrossEntropy", len(logits), len(dlogits))
	}
}

func rowOf(x []float32, r, cols int) []float32 {
	if x == nil {
		return nil
	}
	return x[r*cols : (r+1)*cols]
}

func ignoreRow(dlogits []float32, r, cols int) {
	if dlogits != nil {
		clear(dlogits[r*cols : (r+1)*cols])
	}
}

func crossEntropyRow(d, x []float32, target int32, smoothing float32) (loss float64, right bool) {
	cols := len(x)
	if target < 0 || int(target) >= cols {
		panic(fmt.Sprintf("kernel: CrossEntropy: target %d is outside the %d classes", target, cols))
	}
	at := x[target]
	var total float32 // sum of the logits, wanted for smoothing; read before d, which may be x, is written
	if smoothing != 0 {
		total = Sum(x)
	}
	m := Max(x)
	right = at == m && ArgMax(x[:target+1]) == int(target)
	var l [lanes]float32
	if d == nil {
		expSumOnlyVec(&l, x, m)
	} else {
		expSumVec(&l, d, x, m)
	}
	sum := foldLanes(&l)
	// ln(sum of e^x) - x[target], in float64 so that the cancellation costs nothing.
	logOf := [1]float32{sum}
	Log(logOf[:], logOf[:])
	logSum := float64(logOf[0]) + float64(m)
	loss = logSum - float64(at)
	if smoothing != 0 {
		uniform := logSum - float64(total)/float64(cols)
		loss += float64(float64(smoothing) * (uniform - loss))
	}
	if d == nil {
		return loss, right
	}
	Scale(d, 1/sum, d)
	if smoothing != 0 {
		shift := -smoothing / float32(cols)
		for i := range d {
			d[i] += shift
		}
	}
	d[target] -= 1 - smoothing
	return loss, right
}

func expSumOnlyGo(l *[lanes]float32, x []float32, m float32) {
	for i, v := range x {
		l[i%lanes] += exp1(v - m)
	}
}
