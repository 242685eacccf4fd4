package metric

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Sums is what the metrics of a Set need to know of the samples seen so far. It is not safe for concurrent use.
type Sums struct {
	set    *Set
	weight float64 // of all samples; their number where they have none
	// Classes: the sum of the losses, and what divides it.
	loss, lossWeight float64
	bytes            float64 // of the text that the targets stand for, where that is wanted
	// Classes and Labels:
	correct   float64   // weight of the samples that are right; of Labels, right in every label
	top       []float64 // weight of the samples whose class is among the k largest logits, for each topK
	hits      []float64 // by class or label, where that is wanted: weight of those predicted and actual,
	predicted []float64 // predicted,
	actual    []float64 // actual
	confusion []float64 // Classes, where that is wanted: [actual][predicted]
	// Values: by output.
	errors []errors
	// The scores of all samples, for areas under curves.
	ranked ranking
}

// errors sums up the errors of one output.
type errors struct {
	absolute, squared float64 // weighted sums
	average, spread   float64 // of the targets: weighted mean, and weighted sum of squared distances from it
}

// ranking holds the scores of all samples with what is right about them.
type ranking struct {
	scores  []float32 // n x Outputs
	targets []float32 // Classes: n class numbers; Labels: n x Outputs of 0 and 1, or negative
	weights []float32 // n
}

// Sums makes empty sums.
func (s *Set) Sums() *Sums {
	k := s.task.Outputs
	sums := &Sums{set: s, top: make([]float64, len(s.tops))}
	if s.task.Kind == Values {
		sums.errors = make([]errors, k)
		return sums
	}
	if s.byClass {
		sums.hits, sums.predicted, sums.actual = make([]float64, k), make([]float64, k), make([]float64, k)
	}
	if s.confusion {
		sums.confusion = make([]float64, k*k)
	}
	return sums
}

// Reset makes the sums empty again and keeps their memory.
func (s *Sums) Reset() {
	s.weight, s.loss, s.lossWeight, s.bytes, s.correct = 0, 0, 0, 0, 0
	for _, part := range [][]float64{s.top, s.hits, s.predicted, s.actual, s.confusion} {
		clear(part)
	}
	clear(s.errors)
	s.ranked.scores, s.ranked.targets, s.ranked.weights = s.ranked.scores[:0], s.ranked.targets[:0], s.ranked.weights[:0]
}

// AddLoss adds the sum of the losses of samples, and what divides it: their number, or the sum of their weights.
func (s *Sums) AddLoss(loss, divisor float64) {
	s.loss += loss
	s.lossWeight += divisor
}

// AddClass adds a sample of a class: its logits, and the probabilities of the classes, which may be nil where no metric of
// the set ranks samples. A negative class is an ignored target.
func (s *Sums) AddClass(logits, probabilities []float32, class int32, weight float32) {
	if class < 0 {
		return
	}
	w := float64(weight)
	s.weight += w
	if s.set.perByte {
		s.bytes += float64(w * float64(s.set.task.Bytes[class]))
	}
	guess := argmax(logits)
	if guess == int(class) {
		s.correct += w
	}
	if s.hits != nil {
		s.actual[class] += w
		s.predicted[guess] += w
		if guess == int(class) {
			s.hits[class] += w
		}
	}
	if s.confusion != nil {
		s.confusion[int(class)*s.set.task.Outputs+guess] += w
	}
	if len(s.top) > 0 {
		place := placeOf(logits, int(class))
		for i, k := range s.set.tops {
			if place < k {
				s.top[i] += w
			}
		}
	}
	if s.set.ranks {
		s.ranked.scores = append(s.ranked.scores, probabilities...)
		s.ranked.targets = append(s.ranked.targets, float32(class))
		s.ranked.weights = append(s.ranked.weights, weight)
	}
}

// AddLabels adds a sample of yes-or-no labels: the logit of each, and 1 or 0 where it is right or wrong, or a negative number where it
// is to be ignored. A label counts as predicted from probability one half on.
func (s *Sums) AddLabels(logits, targets []float32, weight float32) {
	w := float64(weight)
	right, counts := true, false
	for k, z := range logits {
		if targets[k] < 0 {
			continue
		}
		is, said := targets[k] > 0.5, z >= 0
		right, counts = right && is == said, true
		if s.hits != nil {
			s.countLabel(k, is, said, w)
		}
	}
	if !counts {
		return
	}
	s.weight += w
	if right {
		s.correct += w
	}
	if s.set.ranks {
		s.ranked.scores = append(s.ranked.scores, logits...)
		s.ranked.targets = append(s.ranked.targets, targets...)
		s.ranked.weights = append(s.ranked.weights, weight)
	}
}

func (s *Sums) countLabel(k int, is, said bool, w float64) {
	if is {
		s.actual[k] += w
	}
	if said {
		s.predicted[k] += w
	}
	if is && said {
		s.hits[k] += w
	}
}

// AddValues adds a sample of a regression. The mean and the spread of the targets are kept as Welford (1962) does, so large
// values with small differences keep their digits.
func (s *Sums) AddValues(outputs, targets []float32, weight float32) {
	w := float64(weight)
	if w == 0 {
		return
	}
	s.weight += w
	for k := range outputs {
		e, t := &s.errors[k], float64(targets[k])
		d := float64(outputs[k]) - t
		e.absolute += float64(w * math.Abs(d))
		e.squared += float64(w * float64(d*d))
		from := t - e.average
		e.average += float64(from * w / s.weight)
		e.spread += float64(w * float64(from*(t-e.average)))
	}
}

// Merge adds the sums of other samples behind those of s. Both are of one Set.
func (s *Sums) Merge(other *Sums) {
	before := s.weight
	s.weight += other.weight
	s.loss += other.loss
	s.lossWeight += other.lossWeight
	s.bytes += other.bytes
	s.correct += other.correct
	add(s.top, other.top)
	add(s.hits, other.hits)
	add(s.predicted, other.predicted)
	add(s.actual, other.actual)
	add(s.confusion, other.confusion)
	if other.weight > 0 {
		for k := range s.errors {
			s.errors[k].merge(&other.errors[k], before, other.weight)
		}
	}
	s.ranked.scores = append(s.ranked.scores, other.ranked.scores...)
	s.ranked.targets = append(s.ranked.targets, other.ranked.targets...)
	s.ranked.weights = append(s.ranked.weights, other.ranked.weights...)
}

// merge combines means and spreads as Chan, Golub and LeVeque (1979) do.
func (e *errors) merge(other *errors, weight, otherWeight float64) {
	e.absolute += other.absolute
	e.squared += other.squared
	apart, all := other.average-e.average, weight+otherWeight
	e.average += float64(apart * otherWeight / all)
	e.spread += other.spread + float64(apart*apart)*float64(weight*otherWeight/all)
}

func add(to, from []float64) {
	for i, v := range from {
		to[i] += v
	}
}

// argmax is the place of the largest value, the first of equal ones.
func argmax(values []float32) int {
	best := 0
	for i, v := range values {
		if v > values[best] {
			best = i
		}
	}
	return best
}

// placeOf is the number of values before that of the class when they are sorted in descending order, equal ones in their own order.
func placeOf(values []float32, class int) int {
	place := 0
	for i, v := range values {
		if v > values[class] || v == values[class] && i < class {
			place++
		}
	}
	return place
}

// Size is the number of bytes that Append writes for sums of n samples or fewer.
func (s *Set) Size(n int) int {
	sums := s.Sums()
	size := 8 * (len(sums.fixed()) + 1)
	if s.ranks {
		size += 4 * n * (s.task.Outputs + s.width() + 1)
	}
	return size
}

// width is the number of targets that a ranking keeps of a sample.
func (s *Set) width() int {
	if s.task.Kind == Labels {
		return s.task.Outputs
	}
	return 1
}

// fixed lists the sums whose number does not depend on how many samples were seen.
func (s *Sums) fixed() []*float64 {
	list := []*float64{&s.weight, &s.loss, &s.lossWeight, &s.correct, &s.bytes}
	for _, part := range [][]float64{s.top, s.hits, s.predicted, s.actual, s.confusion} {
		for i := range part {
			list = append(list, &part[i])
		}
	}
	for k := range s.errors {
		e := &s.errors[k]
		list = append(list, &e.absolute, &e.squared, &e.average, &e.spread)
	}
	return list
}

// Append writes the sums behind b, little-endian:
//
//	fixed sums (float64 each) | n ranked samples (uint64) | their scores | targets | weights (float32 each)
func (s *Sums) Append(b []byte) []byte {
	for _, v := range s.fixed() {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(*v))
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.ranked.weights)))
	for _, part := range [][]float32{s.ranked.scores, s.ranked.targets, s.ranked.weights} {
		for _, v := range part {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return b
}

// Decode makes s the sums that Append wrote at the start of b. Bytes after them are ignored. An error says that
// the bytes are too few for what they claim.
func (s *Sums) Decode(b []byte) error {
	s.Reset()
	fixed := s.fixed()
	if len(b) < 8*(len(fixed)+1) {
		return fmt.Errorf("metric: %d bytes for %d sums", len(b), len(fixed)+1)
	}
	for i, v := range fixed {
		*v = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	n := binary.LittleEndian.Uint64(b[8*len(fixed):])
	b = b[8*(len(fixed)+1):]
	each := uint64(4 * (s.set.task.Outputs + s.set.width() + 1))
	if n > 0 && !s.set.ranks || n > uint64(len(b))/each {
		return fmt.Errorf("metric: %d bytes for %d ranked samples", len(b), n)
	}
	read := func(count int) []float32 {
		part := make([]float32, count)
		for i := range part {
			part[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		b = b[4*count:]
		return part
	}
	s.ranked.scores = read(int(n) * s.set.task.Outputs)
	s.ranked.targets = read(int(n) * s.set.width())
	s.ranked.weights = read(int(n))
	return nil
}

// mean is the mean of a figure over the outputs.
func (s *Sums) mean(figure func(*errors) float64) float64 {
	total := 0.0
	for k := range s.errors {
		total += figure(&s.errors[k])
	}
	return total / float64(len(s.errors))
}
