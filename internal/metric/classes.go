package metric

import (
	"cmp"
	"math"
	"slices"
)

// ByClass are the figures of one class or label.
type ByClass struct {
	Precision, Recall, F1 float64
	Weight                float64 // of the samples that are of it; their number where samples have no weights
}

// Classes are the figures of every class or label, none where they were not wanted.
func (s *Sums) Classes() []ByClass {
	classes := make([]ByClass, len(s.actual))
	for c := range classes {
		classes[c] = ByClass{
			Precision: ratio(s.hits[c], s.predicted[c]),
			Recall:    ratio(s.hits[c], s.actual[c]),
			F1:        ratio(2*s.hits[c], s.predicted[c]+s.actual[c]),
			Weight:    s.actual[c],
		}
	}
	return classes
}

// Confusion is the weight of the samples by [actual][predicted] class, or nil where it was not wanted.
func (s *Sums) Confusion() [][]float64 {
	if s.confusion == nil {
		return nil
	}
	k := s.set.task.Outputs
	rows := make([][]float64, k)
	for c := range rows {
		rows[c] = s.confusion[c*k : (c+1)*k : (c+1)*k]
	}
	return rows
}

// ratio is 0 where nothing is divided by nothing, as scikit-learn counts a class that was never predicted.
func ratio(part, whole float64) float64 {
	if whole == 0 {
		return 0
	}
	return part / whole
}

// macro is the mean of a figure over the classes that occur, among the targets or the predictions, or over all labels.
func macro(s *Sums, figure string) float64 {
	total, n := 0.0, 0
	for c, by := range s.Classes() {
		if s.set.task.Kind == Classes && s.actual[c] == 0 && s.predicted[c] == 0 {
			continue
		}
		n++
		switch figure {
		case "precision":
			total += by.Precision
		case "recall":
			total += by.Recall
		default:
			total += by.F1
		}
	}
	return total / float64(n)
}

// areas is the area under the ROC curve: of two classes that of the second; of more the mean of each against the rest; of
// labels the mean of theirs.
func areas(s *Sums) float64 {
	k := s.set.task.Outputs
	first := 0
	if s.set.task.Kind == Classes && k == 2 {
		first = 1
	}
	total := 0.0
	for c := first; c < k; c++ {
		total += s.area(c)
	}
	return total / float64(k-first)
}

// area is the area under the ROC curve of one class against the rest, or of one label: the weighted share of pairs of a
// positive and a negative sample in which the positive one has the higher score, ties counting half.
func (s *Sums) area(c int) float64 {
	type sample struct {
		score    float32
		positive bool
		weight   float64
	}
	k := s.set.task.Outputs
	samples := make([]sample, 0, len(s.ranked.weights))
	for i, w := range s.ranked.weights {
		positive := false
		if s.set.task.Kind == Labels {
			if s.ranked.targets[i*k+c] < 0 { // ignored
				continue
			}
			positive = s.ranked.targets[i*k+c] > 0.5
		} else {
			positive = int(s.ranked.targets[i]) == c
		}
		samples = append(samples, sample{s.ranked.scores[i*k+c], positive, float64(w)})
	}
	slices.SortStableFunc(samples, func(a, b sample) int { return cmp.Compare(a.score, b.score) })
	var area, below, positives float64 // below: weight of the negatives with lower scores
	for i := 0; i < len(samples); {
		var up, down float64 // of the samples with this score
		j := i
		for ; j < len(samples) && samples[j].score == samples[i].score; j++ {
			if samples[j].positive {
				up += samples[j].weight
			} else {
				down += samples[j].weight
			}
		}
		if j == i { // a score that is not a number equals nothing
			return math.NaN()
		}
		area += float64(up * (below + down/2))
		below += down
		positives += up
		i = j
	}
	return area / float64(positives*below)
}
