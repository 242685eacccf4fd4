package tensor

import "ringmaster/internal/tensor/kernel"

// crossEntropy is the sum over rows of -log softmax(logits)[target], with label smoothing and a weight for each class.
type crossEntropy struct {
	rowLoss
	targets   *Integers
	counted   []int32 // the targets, IgnoredTarget where they are negative or their sample weighs nothing
	smoothing float32

	classWeights []float32 // nil: 1 each
	allClasses   float32   // sum of the class weights

	seconds *Integers // of mixed targets: the class that has what the target has not
	shares  *Value    // the target's share
}

// CrossEntropy ends a graph: it adds up the loss of every row of logits (rows, classes) against its target and leaves the sums in
// the context. Rows whose target is negative count for nothing, and neither do those of weight 0; weights, one a sample, may be nil. With
// smoothing e the target is 1-e on the class plus e/classes everywhere. Its gradient is that of the sum, not of the mean.
//
// With classWeights, one a class, or nil, it is the sum that PyTorch's CrossEntropyLoss(weight=...) divides by the sum of the targets'
// class weights, which is the context's Weight: w[t] (1-e) times the loss plus e/classes times the sum over classes c of w[c] times
// the loss against c.
func (g *Graph) CrossEntropy(logits *Value, targets *Integers, weights *Value, classWeights []float32, smoothing float32) {
	g.endWith(&crossEntropy{targets: targets, smoothing: smoothing, classWeights: classWeights}, logits, weights)
}

// MixedCrossEntropy is CrossEntropy against two classes for each row: the target with its share, and the second with the rest, as
// PyTorch's CrossEntropyLoss against these probabilities. A row counts as correct by its target.
func (g *Graph) MixedCrossEntropy(logits *Value, targets, seconds *Integers, shares, weights *Value, smoothing float32) {
	invariant(seconds.Size() == targets.Size() && shares.Size() == targets.Size(), "%d targets with %d seconds and %d shares", targets.Size(), seconds.Size(), shares.Size())
	g.endWith(&crossEntropy{targets: targets, smoothing: smoothing, seconds: seconds, shares: shares}, logits, weights)
}

func (g *Graph) endWith(op *crossEntropy, logits, weights *Value) {
	targets, classWeights := op.targets, op.classWeights
	invariant(targets.Size() == logits.Rows(), "%d targets for %d rows", targets.Size(), logits.Rows())
	invariant(classWeights == nil || len(classWeights) == logits.Dim(-1), "%d class weights for %d classes", len(classWeights), logits.Dim(-1))
	for _, w := range classWeights {
		op.allClasses += w
	}
	if !g.inPieces(op, logits, weights) {
		op.end(g, logits, weights, 8, op, op.computeRows)
	}
	op.counted = make([]int32, op.rows)
	if classWeights != nil {
		op.masses = make([]float64, op.rows)
	}
}

func (o *crossEntropy) computeRows(begin, end int) {
	targets := o.counted[begin:end]
	copy(targets, o.targets.data[begin:end])
	for i, target := range targets {
		if target < 0 || o.weight(begin+i) == 0 {
			targets[i] = IgnoredTarget
		}
	}
	smoothing := o.smoothing
	if o.classWeights != nil {
		smoothing = 0 // mixed in afterwards
	}
	count, correct := kernel.CrossEntropyRows(o.losses[begin:end], o.gradient(begin, end), o.output(begin, end), targets,
		end-begin, o.width, IgnoredTarget, smoothing)
	o.count.Add(int64(count))
	o.correct.Add(int64(correct))
	for i, target := range targets {
		row := begin + i
		if o.classWeights != nil {
			o.weighClass(row, int(target))
		}
		if target >= 0 && o.seconds != nil {
			o.mix(row, int(target), int(o.seconds.data[row]))
		}
		if target >= 0 {
			o.scale(row, o.weight(row))
		}
	}
}

// mix moves what the target of a row has not to the second.
func (o *crossEntropy) mix(row, target, second int) {
	moved := (1 - o.smoothing) * (1 - o.shares.Data()[row])
	if target == second || moved == 0 {
		return
	}
	x := o.x.Data()[row*o.width : (row+1)*o.width]
	o.losses[row] += float64(float64(moved) * (float64(x[target]) - float64(x[second])))
	if d := o.gradient(row, row+1); d != nil {
		d[target] += moved
		d[second] -= moved
	}
}

// weighClass weighs a row by the weight of its class, and mixes in what smoothing spreads.
func (o *crossEntropy) weighClass(row, target int) {
	if target < 0 {
		o.masses[row] = 0
		return
	}
	w := o.classWeights[target]
	o.masses[row] = float64(w)
	if o.smoothing == 0 {
		o.scale(row, w)
		return
	}
	x, spread := o.x.Data()[row*o.width:(row+1)*o.width], o.smoothing/float32(o.width)
	level, others := o.losses[row]+float64(x[target]), 0.0 // the logarithm of the sum of e^x; the losses against all classes
	for c, v := range x {
		others += float64(float64(o.classWeights[c]) * (level - float64(v)))
	}
	o.losses[row] = float64(float64((1-o.smoothing)*w)*o.losses[row]) + float64(float64(spread)*others)
	if d := o.gradient(row, row+1); d != nil { // softmax, less 1 at the target
		a := float32((1-o.smoothing)*w) + float32(spread*o.allClasses)
		for c := range d {
			d[c] = float32(a*d[c]) - float32(spread*o.classWeights[c])
		}
		d[target] += float32(spread * o.allClasses)
	}
}
