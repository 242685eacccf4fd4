// Package metric computes what a run tells about its model beside the loss: accuracy, precision and recall, areas under
// curves, errors of regressions. Sums holds everything that a metric needs of the samples seen so far. Each seat fills Sums of
// its own over its part of the evaluation set; they are merged in seat order, so a figure does not depend on which worker
// evaluated what. The definitions and the cases that are left undefined are scikit-learn's.
package metric

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ringmaster/internal/elementary"
)

// Kind says what the outputs of a model are compared with.
type Kind uint8

const (
	// Classes: one of several classes is right; outputs are a logit each.
	Classes Kind = iota
	// Labels: each of several yes-or-no labels is right or wrong by itself; outputs are a logit each. A binary
	// classification is one label.
	Labels
	// Values: outputs are the values themselves.
	Values
)

// Task is what a model is asked for.
type Task struct {
	Kind    Kind
	Outputs int // classes, labels or values of a target
	// Bytes are how many bytes of text each class stands for, where classes are the tokens of a text and that is known; else nil.
	Bytes []int32
}

// Set is a list of metrics that were asked for, checked against a task. It is immutable.
type Set struct {
	task  Task
	names []string
	tops  []int // the k of each topK, in the order of names
	ranks bool  // some metric needs the scores of all samples

	byClass   bool // some metric needs the figures of each class or label
	confusion bool // a confusion matrix is wanted
	perByte   bool // the bytes of text are wanted
}

// metrics lists each metric's name with the kinds of task that it is defined for. topK stands for top1, top2 and so on.
var metrics = []struct {
	name  string
	kinds []Kind
}{
	{"accuracy", []Kind{Classes, Labels}},
	{"topK", []Kind{Classes}},
	{"precision", []Kind{Classes, Labels}},
	{"recall", []Kind{Classes, Labels}},
	{"f1", []Kind{Classes, Labels}},
	{"auc", []Kind{Classes, Labels}},
	{"perplexity", []Kind{Classes}},
	{bitsPerByte, []Kind{Classes}},
	{"mae", []Kind{Values}},
	{"mse", []Kind{Values}},
	{"rmse", []Kind{Values}},
	{"r2", []Kind{Values}},
}

// bitsPerByte is the loss of the tokens of a text in bits, for each byte of the text, so that models with different tokens can be compared (Gao et
// al., The Pile, 2020, section 3.1).
const bitsPerByte = "bits_per_byte"

// Names lists the metrics that a task of this kind may ask for.
func Names(kind Kind) []string {
	var names []string
	for _, m := range metrics {
		if slices.Contains(m.kinds, kind) {
			names = append(names, m.name)
		}
	}
	return names
}

// New checks the names against the task. An error names the metric and the possible ones.
func New(names []string, task Task) (*Set, error) {
	if task.Outputs < 1 {
		return nil, fmt.Errorf("metric: a task with %d outputs", task.Outputs)
	}
	s := &Set{task: task, names: slices.Clone(names)}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("%q is listed twice", name)
		}
		base := name
		if k, isTop := topOf(name); isTop {
			if k < 1 || k > task.Outputs {
				return nil, fmt.Errorf("%q: want top1 to top%d, the number of classes", name, task.Outputs)
			}
			base = "topK"
			s.tops = append(s.tops, k)
		}
		if name == "bleu" {
			return nil, fmt.Errorf("%q compares whole translations, which take many times as long as an evaluation: ringmaster eval --bleu tells it of a checkpoint", name)
		}
		if !slices.Contains(Names(task.Kind), base) {
			return nil, fmt.Errorf("%q is not a metric of this job; there are %s", name, strings.Join(Names(task.Kind), ", "))
		}
		if name == bitsPerByte && task.Bytes == nil {
			return nil, fmt.Errorf("%q is for a text that is predicted token by token, where tokens are characters, bytes or a byte-level tokenizer's", name)
		}
		s.perByte = s.perByte || name == bitsPerByte
		s.ranks = s.ranks || name == "auc"
		s.byClass = s.byClass || slices.Contains([]string{"precision", "recall", "f1"}, name)
	}
	return s, nil
}

// topOf is the k of the name topK.
func topOf(name string) (k int, isTop bool) {
	digits, isTop := strings.CutPrefix(name, "top")
	if !isTop {
		return 0, false
	}
	k, err := strconv.Atoi(digits)
	return k, err == nil && !strings.HasPrefix(digits, "0") && !strings.HasPrefix(digits, "+")
}

// Tables is the set with figures of each class or label where there are no more than 1,000, and a confusion matrix of up to 64 classes.
func (s *Set) Tables() *Set {
	const maxByClass, maxConfusion = 1000, 64
	t := *s
	classes := s.task.Kind == Classes
	t.byClass = s.byClass || (classes || s.task.Kind == Labels) && s.task.Outputs <= maxByClass
	t.confusion = classes && s.task.Outputs <= maxConfusion
	return &t
}

// Task is what the model is asked for.
func (s *Set) Task() Task { return s.task }

// Ranks reports whether AddClass needs probabilities.
func (s *Set) Ranks() bool { return s.ranks }

// Names are the metrics in the order in which they were asked for.
func (s *Set) Names() []string { return s.names }

// HigherIsBetter reports whether larger values of the metric, or of "loss" or "train_loss", are better.
func HigherIsBetter(name string) bool {
	return !slices.Contains([]string{"loss", "train_loss", "perplexity", bitsPerByte, "mae", "mse", "rmse"}, name)
}

// Value is one metric's figure. It is NaN where the metric is not defined for the samples, as an area under a curve is
// where all samples have the same label.
func (s *Set) Value(name string, sums *Sums) float64 {
	switch name {
	case "accuracy":
		return sums.correct / sums.weight
	case "precision", "recall", "f1":
		return macro(sums, name)
	case "auc":
		return areas(sums)
	case "perplexity":
		return elementary.Exp(sums.loss / sums.lossWeight)
	case bitsPerByte:
		return sums.loss / sums.bytes / math.Ln2
	case "mae":
		return sums.mean(func(e *errors) float64 { return e.absolute / sums.weight })
	case "mse":
		return sums.mean(func(e *errors) float64 { return e.squared / sums.weight })
	case "rmse":
		return sums.mean(func(e *errors) float64 { return math.Sqrt(e.squared / sums.weight) })
	case "r2":
		return sums.mean(determination)
	}
	for i, k := range s.tops {
		if name == "top"+strconv.Itoa(k) {
			return sums.top[i] / sums.weight
		}
	}
	panic(fmt.Sprintf("metric: %q was not asked for", name))
}

// determination is R2 of one output: 1 where nothing varies and every prediction is right, 0 where nothing varies and one
// is wrong.
func determination(e *errors) float64 {
	switch {
	case e.spread > 0:
		return 1 - e.squared/e.spread
	case e.squared > 0:
		return 0
	}
	return 1
}
