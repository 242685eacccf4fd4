package generate

import (
	"math"
	"slices"

	"ringmaster/internal/tensor/kernel"
)

// sampler chooses tokens by their logits.
type sampler struct {
	Options
	weights    []float32 // proportional to the probabilities
	candidates []candidate
	seen       []bool // tokens of the text, while they are penalised
}

// candidate is a token with its weight such that they order by weight, of equal ones the lower token being the larger.
type candidate uint64

func candidateOf(weight float32, token int) candidate {
	return candidate(math.Float32bits(weight))<<32 | candidate(^uint32(token))
}

func (c candidate) token() int32    { return int32(^uint32(c)) }
func (c candidate) weight() float32 { return math.Float32frombits(uint32(c >> 32)) }

func newSampler(vocabulary int, o Options) *sampler {
	s := &sampler{Options: o, seen: make([]bool, vocabulary)}
	if o.Temperature > 0 {
		s.weights = make([]float32, vocabulary)
	}
	return s
}

// penalize makes the tokens of a text less likely (Keskar et al. 2019).
func (s *sampler) penalize(scores []float32, text []int32) {
	penalty := float32(s.RepetitionPenalty)
	if penalty == 0 || penalty == 1 {
		return
	}
	for _, token := range text {
		if s.seen[token] {
			continue
		}
		s.seen[token] = true
		if scores[token] < 0 {
			scores[token] *= penalty
		} else {
			scores[token] /= penalty
		}
	}
	for _, token := range text {
		s.seen[token] = false
	}
}

// choose is the token at the point u of [0, 1) of the distribution after a text. It changes the logits.
func (s *sampler) choose(logits []float32, text []int32, u float32) int32 {
	s.penalize(logits, text)
	if s.Temperature == 0 {
		return int32(kernel.ArgMax(logits))
	}
	for i := range logits {
		logits[i] /= float32(s.Temperature)
	}
	sum := float64(kernel.ExpScaleShiftSum(s.weights, logits, 1, -kernel.Max(logits)))
	if s.TopK == 0 && (s.TopP == 0 || s.TopP == 1) {
		return s.drawAll(float64(u) * sum)
	}
	least := float32(0)
	if s.TopK == 0 { // those left out have less than 1-TopP together
		least = float32((1 - s.TopP) * sum / float64(len(s.weights)))
	}
	s.likeliest(least)
	return s.draw(u)
}

// drawAll is the token at a point of the sum of all weights.
func (s *sampler) drawAll(at float64) int32 {
	last := 0
	for i, w := range s.weights {
		if w == 0 {
			continue
		}
		if last = i; at < float64(w) {
			break
		}
		at -= float64(w)
	}
	return int32(last)
}

// likeliest collects the candidates with at least this weight, at most TopK, the likeliest first.
func (s *sampler) likeliest(least float32) {
	s.candidates = s.candidates[:0]
	for i, w := range s.weights {
		c := candidateOf(w, i)
		switch {
		case w < least:
		case s.TopK == 0 || len(s.candidates) < s.TopK:
			if s.candidates = append(s.candidates, c); len(s.candidates) == s.TopK {
				slices.Sort(s.candidates) // a heap, too
			}
		case c > s.candidates[0]:
			s.candidates[0] = c
			s.sink()
		}
	}
	slices.Sort(s.candidates)
	slices.Reverse(s.candidates)
}

// sink moves the first candidate down the heap, whose smallest is to be first.
func (s *sampler) sink() {
	h := s.candidates
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if h[i] <= h[child] {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// draw is the candidate at the point u of those that have TopP together.
func (s *sampler) draw(u float32) int32 {
	sum := 0.0
	for _, c := range s.candidates {
		sum += float64(c.weight())
	}
	kept, most := 0.0, sum
	if s.TopP > 0 && s.TopP < 1 {
		most = s.TopP * sum
		if s.TopK == 0 { // the candidates are not all tokens
			most = s.TopP * s.total()
		}
	}
	n := 0
	for n < len(s.candidates) && (n == 0 || kept < most) {
		kept += float64(s.candidates[n].weight())
		n++
	}
	at := float64(u) * kept
	for _, c := range s.candidates[:n] {
		if at < float64(c.weight()) {
			return c.token()
		}
		at -= float64(c.weight())
	}
	return s.candidates[n-1].token()
}

// total is the sum of all weights.
func (s *sampler) total() float64 {
	sum := 0.0
	for _, w := range s.weights {
		sum += float64(w)
	}
	return sum
}
