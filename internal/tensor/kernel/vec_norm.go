package kernel

import "math"

func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// LayerNorm normalises each row to mean 0 and variance 1 and applies an affine map by column:
// y[r,c] = (x[r,c]-mean[r])*rstd[r] * gamma[c] + beta[c], with the mean and the (biased) variance by the lane rule and
// rstd = 1/sqrt(variance + eps). gamma and beta are both nil for no affine map; beta alone may be nil. y and x are
// (rows, cols); mean and rstd, of rows elements, are written and wanted again by the backward form.
func LayerNorm(y, mean, rstd, x, gamma, beta []float32, rows, cols int, eps float32) {
	fits("LayerNorm", len(x), rows, cols)
	sameLength("LayerNorm", len(x), len(y))
	sameLength("LayerNorm", rows, len(mean), len(rstd))
	for r := 0; r < rows; r++ {
		row := x[r*cols : (r+1)*cols]
		mean[r] = Sum(row) / float32(cols)
		rstd[r] = 1 / sqrt32(SumCentered(row, mean[r])/float32(cols)+eps)
		normRow(y[r*cols:(r+1)*cols], row, gamma, beta, mean[r], rstd[r])
	}
}

// normRow sets y = (x-mean)*rstd, times gamma, plus beta, where they are given.
func normRow(y, x, gamma, beta []float32, mean, rstd float32) {
	switch {
	case gamma == nil:
		normalizeVec(y, x, mean, rstd)
	case beta == nil:
		sameLength("norm", len(x), len(gamma))
		normalizeScaleVec(y, x, gamma, mean, rstd)
	default:
		sameLength("norm", len(x), len(gamma), len(beta))
		normalizeAffineVec(y, x, gamma, beta, mean, rstd)
	}
}

func normalizeGo(y, x []float32, mean, rstd float32) {
	for i, v := range x {
		y[i] = (v - mean) * rstd
	}
}

func normalizeScaleGo(y, x, gamma []float32, mean, rstd float32) {
	for i, v := range x {
		y[i] = float32((v-mean)*rstd) * gamma[i]
	}
}

func normalizeAffineGo(y, x, gamma, beta []float32, mean, rstd float32) {
	for i, v := range x {
		y[i] = FMA(float32((v-mean)*rstd), gamma[i], beta[i])
	}
}

// LayerNormBackward sets dx to the gradient of LayerNorm's input. With h = (x-mean)*rstd and e = dy*gamma (dy where gamma
// is nil), dx = rstd * (e - (sum e)/cols - h (sum e h)/cols), sums by the lane rule. x, mean and rstd are the forward's.
func LayerNormBackward(dx, dy, x, gamma, mean, rstd []float32, rows, cols int) {
	fits("LayerNormBackward", len(x), rows, cols)
	sameLength("LayerNormBackward", len(x), len(dx), len(dy))
	sameLength("LayerNormBackward", rows, len(mean), len(rstd))
	n := float32(cols)
	for r := 0; r < rows; r++ {
		at, to := r*cols, (r+1)*cols
		var sum, dot [lanes]float32
		normSums(&sum, &dot, dy[at:to], x[at:to], gamma, mean[r], rstd[r])
		normBackward(dx[at:to], dy[at:to], x[at:to], gamma, mean[r], rstd[r], foldLanes(&sum)/n, foldLanes(&dot)/n)
	}
}

// RMSNorm scales each row to mean square 1 and each column by gamma: y[r,c] = x[r,c]*rstd[r] * gamma[c], with
// rstd = 1/sqrt(mean of squares + eps), the sum by the lane rule. gamma may be nil. rstd, of rows elements, is written.
func RMSNorm(y, rstd, x, gamma []float32, rows, cols int, eps float32) {
	fits("RMSNorm", len(x), rows, cols)
	sameLength("RMSNorm", len(x), len(y))
	sameLength("RMSNorm", rows, len(rstd))
	for r := 0; r < rows; r++ {
		row := x[r*cols : (r+1)*cols]
		rstd[r] = 1 / sqrt32(Dot(row, row)/float32(cols)+eps)
		normRow(y[r*cols:(r+1)*cols], row, gamma, nil, 0, rstd[r])
	}
}

// RMSNormBackward sets dx to the gradient of RMSNorm's input: with h = x*rstd and e = dy*gamma (dy where gamma is nil),
// dx = rstd * (e - h (sum e h)/cols), the sum by the lane rule. x and rstd are the forward's.
func RMSNormBackward(dx, dy, x, gamma, rstd []float32, rows, cols int) {
	fits("RMSNormBackward", len(x), rows, cols)
	sameLength("RMSNormBackward", len(x), len(dx), len(dy))
	sameLength("RMSNormBackward", rows, len(rstd))
	for r := 0; r < rows; r++ {
		at, to := r*cols, (r+1)*cols
		var sum, dot [lanes]float32
		normSums(&sum, &dot, dy[at:to], x[at:to], gamma, 0, rstd[r])
		normBackward(dx[at:to], dy[at:to], x[at:to], gamma, 0, rstd[r], 0, foldLanes(&dot)/float32(cols))
	}
}

// normSums adds e to sum and e*h to dot by the lane rule, for e = dy*gamma and h = (x-mean)*rstd.
func normSums(sum, dot *[lanes]float32, dy, x, gamma []float32, mean, rstd float32) {
	if gamma == nil {
		normSumsPlainVec(sum, dot, dy, x, mean, rstd)
		return
	}
	sameLength("norm", len(x), len(gamma))
	normSumsVec(sum, dot, dy, x, gamma, mean, rstd)
}

func normSumsPlainGo(sum, dot *[lanes]float32, dy, x []float32, mean, rstd float32) {
	for i, e := range dy {
		sum[i%lanes] += e
		dot[i%lanes] = FMA(e, float32((x[i]-mean)*rstd), dot[i%lanes])
	}
}

func normSumsGo(sum, dot *[lanes]float32, dy, x, gamma []float32, mean, rstd float32) {
	for i, d := range dy {
		e := float32(d * gamma[i])
		sum[i%lanes] += e
		dot[i%lanes] = FMA(e, float32((x[i]-mean)*rstd), dot[i%lanes])
	}
}

func normBackward(dx, dy, x, gamma []float32, mean, rstd, meanE, meanEH float32) {
	if gamma == nil {
		normBackwardPlainVec(dx, dy, x, mean, rstd, meanE, meanEH)
		return
	}
	normBackwardVec(dx, dy, x, gamma, mean, rstd, meanE, meanEH)
}

func normBackwardPlainGo(dx, dy, x []float32, mean, rstd, meanE, meanEH float32) {
	for i, e := range dy {
		h := float32((x[i] - mean) * rstd)
		dx[i] = FMA(-h, meanEH, e-meanE) * rstd
	}
}

func normBackwardGo(dx, dy, x, gamma []float32, mean, rstd, meanE, meanEH float32) {
	for i, d := range dy {
		h := float32((x[i] - mean) * rstd)
		dx[i] = FMA(-h, meanEH, float32(d*gamma[i])-meanE) * rstd
	}
}

// LayerNormBackwardParams adds the gradients of gamma and beta for the columns [begin, end):
// dgamma[c] += sum over rows of dy[r,c] * (x[r,c]-mean[r])*rstd[r], dbeta[c] += sum over rows of dy[r,c], rows ascending,
// each step of dgamma a fused multiply-add. dbeta may be nil. dgamma and dbeta have cols elements.
func LayerNormBackwardParams(dgamma, dbeta, dy, x, mean, rstd []float32, rows, cols, begin, end int) {
	fits("LayerNormBackwardParams", len(x), rows, cols)
	sameLength("LayerNormBackwardParams", len(x), len(dy))
	sameLength("LayerNormBackwardParams", rows, len(mean), len(rstd))
	sameLength("LayerNormBackwardParams", cols, len(dgamma))
	if dbeta != nil {
		sameLength("LayerNormBackwardParams", cols, len(dbeta))
	}
	for r := 0; r < rows; r++ {
		at, to := r*cols+begin, r*cols+end
		normParamsVec(dgamma[begin:end], dy[at:to], x[at:to], mean[r], rstd[r])
		if dbeta != nil {
			AddTo(dbeta[begin:end], dy[at:to])
		}
	}
}

// RMSNormBackwardParams adds the gradient of gamma for the columns [begin, end): dgamma[c] += sum over rows, ascending, of
// dy[r,c] * x[r,c]*rstd[r], each step a fused multiply-add. dgamma has cols elements.
func RMSNormBackwardParams(dgamma, dy, x, rstd []float32, rows, cols, begin, end int) {
	fits("RMSNormBackwardParams", len(x), rows, cols)
	sameLength("RMSNormBackwardParams", len(x), len(dy))
	sameLength("RMSNormBackwardParams", rows, len(rstd))
	sameLength("RMSNormBackwardParams", cols, len(dgamma))
	for r := 0; r < rows; r++ {
		at, to := r*cols+begin, r*cols+end
		normParamsVec(dgamma[begin:end], dy[at:to], x[at:to], 0, rstd[r])
	}
}

func normParamsGo(dgamma, dy, x []float32, mean, rstd float32) {
	for i, d := range dy {
		dgamma[i] = FMA(d, float32((x[i]-mean)*rstd), dgamma[i])
	}
}
