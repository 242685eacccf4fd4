package kernel

import "math"

func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// normBlock is how many rows go through the steps of a norm together: they stay in the first level of the cache.
const normBlock = 16

// normBlocks calls visit for the rows [begin, end) of each block.
func normBlocks(rows int, visit func(begin, end int)) {
	for r := 0; r < rows; r += normBlock {
		visit(r, min(r+normBlock, rows))
	}
}

// noMean is that of an RMS norm's rows.
var noMean [normBlock]float32

// LayerNorm normalises each row to mean 0 and variance 1 and applies an affine map by column:
// y[r,c] = (x[r,c]-mean[r])*rstd[r] * gamma[c] + beta[c], with the mean and the (biased) variance by the lane rule and
// rstd = 1/sqrt(variance + eps). gamma and beta are both nil for no affine map; beta alone may be nil. y and x are
// (rows, cols); mean and rstd, of rows elements, are written and wanted again by the backward form.
func LayerNorm(y, mean, rstd, x, gamma, beta []float32, rows, cols int, eps float32) {
	fits("LayerNorm", len(x), rows, cols)
	sameLength("LayerNorm", len(x), len(y))
	sameLength("LayerNorm", rows, len(mean), len(rstd))
	n := float32(cols)
	normBlocks(rows, func(r, end int) {
		x, mean, rstd := x[r*cols:end*cols], mean[r:end], rstd[r:end]
		sumRowsVec(mean, x, end-r, cols, cols)
		for i := range mean {
			mean[i] /= n
		}
		sumCenteredRowsVec(rstd, x, end-r, cols, cols, mean)
		for i, sum := range rstd {
			rstd[i] = 1 / sqrt32(sum/n+eps)
		}
		normRows(y[r*cols:end*cols], x, gamma, beta, mean, rstd, cols)
	})
}

// normRows sets y = (x-mean)*rstd, times gamma, plus beta, where they are given.
func normRows(y, x, gamma, beta, mean, rstd []float32, cols int) {
	rows := len(rstd)
	switch {
	case gamma == nil:
		normalizeRowsVec(y, x, rows, cols, cols, mean, rstd)
	case beta == nil:
		sameLength("norm", cols, len(gamma))
		normalizeScaleRowsVec(y, x, gamma, rows, cols, cols, mean, rstd)
	default:
		sameLength("norm", cols, len(gamma), len(beta))
		normalizeAffineRowsVec(y, x, gamma, beta, rows, cols, cols, mean, rstd)
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

// LayerNormBackward sets dx to the gradient of LayerNorm's input, or with add adds that to dx. With h = (x-mean)*rstd and
// e = dy*gamma (dy where gamma is nil), dx = rstd * (e - (sum e)/cols - h (sum e h)/cols), sums by the lane rule. x, mean and rstd are the forward's.
func LayerNormBackward(dx, dy, x, gamma, mean, rstd []float32, rows, cols int, add bool) {
	fits("LayerNormBackward", len(x), rows, cols)
	sameLength("LayerNormBackward", len(x), len(dx), len(dy))
	sameLength("LayerNormBackward", rows, len(mean), len(rstd))
	normBlocks(rows, func(r, end int) {
		at, to := r*cols, end*cols
		normBackward(dx[at:to], dy[at:to], x[at:to], gamma, mean[r:end], rstd[r:end], cols, true, add)
	})
}

// RMSNorm scales each row to mean square 1 and each column by gamma: y[r,c] = x[r,c]*rstd[r] * gamma[c], with
// rstd = 1/sqrt(mean of squares + eps), the sum by the lane rule. gamma may be nil. rstd, of rows elements, is written.
func RMSNorm(y, rstd, x, gamma []float32, rows, cols int, eps float32) {
	fits("RMSNorm", len(x), rows, cols)
	sameLength("RMSNorm", len(x), len(y))
	sameLength("RMSNorm", rows, len(rstd))
	normBlocks(rows, func(r, end int) {
		x, rstd := x[r*cols:end*cols], rstd[r:end]
		DotRows(rstd, x, x, cols, cols)
		for i, sum := range rstd {
			rstd[i] = 1 / sqrt32(sum/float32(cols)+eps)
		}
		normRows(y[r*cols:end*cols], x, gamma, nil, noMean[:end-r], rstd, cols)
	})
}

// RMSNormBackward sets dx to the gradient of RMSNorm's input, or with add adds that to dx: with h = x*rstd and e = dy*gamma (dy where
// gamma is nil), dx = rstd * (e - h (sum e h)/cols), the sum by the lane rule. x and rstd are the forward's.
func RMSNormBackward(dx, dy, x, gamma, rstd []float32, rows, cols int, add bool) {
	fits("RMSNormBackward", len(x), rows, cols)
	sameLength("RMSNormBackward", len(x), len(dx), len(dy))
	sameLength("RMSNormBackward", rows, len(rstd))
	normBlocks(rows, func(r, end int) {
		at, to := r*cols, end*cols
		normBackward(dx[at:to], dy[at:to], x[at:to], gamma, noMean[:end-r], rstd[r:end], cols, false, add)
	})
}

// normBackward is the gradient of a block of rows: with h = (x-mean)*rstd and e = dy*gamma, dx = rstd (e - meanE - h meanEH) of the
// means of e, which is 0 unless centered, and of e h. With add it is added to dx.
func normBackward(dx, dy, x, gamma, mean, rstd []float32, cols int, centered, add bool) {
	var sums, dots [normBlock]float32
	rows, n := len(rstd), float32(cols)
	meanE, meanEH := sums[:rows], dots[:rows]
	if gamma == nil {
		normSumsPlainRowsVec(meanE, meanEH, dy, x, rows, cols, cols, mean, rstd)
	} else {
		sameLength("norm", cols, len(gamma))
		normSumsRowsVec(meanE, meanEH, dy, x, gamma, rows, cols, cols, mean, rstd)
	}
	for r := range rows {
		meanE[r], meanEH[r] = meanE[r]/n, meanEH[r]/n
	}
	if !centered {
		meanE = noMean[:rows]
	}
	switch {
	case gamma == nil && add:
		normBackwardPlainAddRowsVec(dx, dy, x, rows, cols, cols, mean, rstd, meanE, meanEH)
	case gamma == nil:
		normBackwardPlainRowsVec(dx, dy, x, rows, cols, cols, mean, rstd, meanE, meanEH)
	case add:
		normBackwardAddRowsVec(dx, dy, x, gamma, rows, cols, cols, mean, rstd, meanE, meanEH)
	default:
		normBackwardRowsVec(dx, dy, x, gamma, rows, cols, cols, mean, rstd, meanE, meanEH)
	}
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

// normBackward1 is the gradient of one element.
func normBackward1(e, x, mean, rstd, meanE, meanEH float32) float32 {
	h := float32((x - mean) * rstd)
	return float32(FMA(-h, meanEH, e-meanE) * rstd)
}

func normBackwardPlainGo(dx, dy, x []float32, mean, rstd, meanE, meanEH float32) {
	for i, e := range dy {
		dx[i] = normBackward1(e, x[i], mean, rstd, meanE, meanEH)
	}
}

func normBackwardGo(dx, dy, x, gamma []float32, mean, rstd, meanE, meanEH float32) {
	for i, d := range dy {
		dx[i] = normBackward1(float32(d*gamma[i]), x[i], mean, rstd, meanE, meanEH)
	}
}

func normBackwardPlainAddGo(dx, dy, x []float32, mean, rstd, meanE, meanEH float32) {
	for i, e := range dy {
		dx[i] += normBackward1(e, x[i], mean, rstd, meanE, meanEH)
	}
}

func normBackwardAddGo(dx, dy, x, gamma []float32, mean, rstd, meanE, meanEH float32) {
	for i, d := range dy {
		dx[i] += normBackward1(float32(d*gamma[i]), x[i], mean, rstd, meanE, meanEH)
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
