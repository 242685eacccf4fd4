package model

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"ringmaster/internal/dataset"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
)

// Sampling says how a language model's next token is chosen.
type Sampling struct {
	Temperature float32 // divides the logits; 0: always the likeliest token
	Top         int     // only the likeliest so many; 0: all
}

// ErrNotFinite means that a model answers with NaN or infinite values.
var ErrNotFinite = errors.New("the model's output is not a finite number: its parameters are broken, or too large; take an earlier checkpoint, or train again with a lower train.optimizer.lr")

// Generate continues the prompt by count tokens and gives each to emit, which may end it early by returning false. Each token is
// predicted from as many tokens before it as the model's context holds. What is drawn is a pure function of the key. Logits that are not
// finite are ErrNotFinite.
func (r *Replica) Generate(params, stats []float32, prompt []int32, count int, how Sampling, key rng.Key, emit func(token int32) bool) error {
	spec, err := specOf(r.model.schema, r.model.loss)
	switch {
	case err != nil || !spec.Tokens || spec.Rows != spec.Context:
		return errors.New("the model reads no text, so it cannot continue one")
	case spec.Hidden:
		return errors.New("the model guesses hidden tokens, so it cannot continue a text")
	case len(prompt) == 0:
		return errors.New("the prompt is empty; give at least one token to continue from")
	case how.Temperature < 0 || how.Top < 0:
		return fmt.Errorf("temperature %g and top %d must not be negative", how.Temperature, how.Top)
	}
	for i, token := range prompt {
		if token < 0 || int(token) >= spec.Classes {
			return fmt.Errorf("token %d of the prompt is %d, outside the vocabulary of %d", i, token, spec.Classes)
		}
	}
	window := slices.Clone(prompt[max(0, len(prompt)-spec.Context):])
	var batch dataset.Batch
	batch.Resize(1, r.model.schema)
	tokens := batch.Columns[r.model.schema.Find(spec.Field)].Ints
	s := newSampler(spec.Classes, how)
	for i := range count {
		clear(tokens) // what stands after the window is not seen by it
		copy(tokens, window)
		logits, _, classes := r.Predict(params, stats, &batch)
		last := logits[(len(window)-1)*classes : len(window)*classes]
		if slices.ContainsFunc(last, func(z float32) bool { return !finite(float64(z)) }) {
			return ErrNotFinite
		}
		token := s.choose(last, key.Float32(uint64(i)))
		if !emit(token) {
			return nil
		}
		if len(window) == spec.Context {
			window = append(window[:0], window[1:]...)
		}
		window = append(window, token)
	}
	return nil
}

// sampler draws tokens from logits.
type sampler struct {
	Sampling
	scaled, chances []float32
	order           []int32 // tokens, likeliest first; of equal ones the lower
}

func newSampler(classes int, how Sampling) *sampler {
	return &sampler{how, make([]float32, classes), make([]float32, classes), make([]int32, classes)}
}

// choose is the token at the point u of [0, 1) of the distribution.
func (s *sampler) choose(logits []float32, u float32) int32 {
	if s.Temperature == 0 {
		return int32(kernel.ArgMax(logits))
	}
	for i, z := range logits {
		s.scaled[i] = z / s.Temperature
		s.order[i] = int32(i)
	}
	slices.SortStableFunc(s.order, func(a, b int32) int { return cmp.Compare(s.scaled[b], s.scaled[a]) })
	kept := s.order
	if s.Top > 0 {
		kept = kept[:min(s.Top, len(kept))]
	}
	for i, token := range kept {
		s.chances[i] = s.scaled[token]
	}
	chances := s.chances[:len(kept)]
	kernel.Softmax(chances, chances, 1, len(chances))
	at := float64(u)
	for i, p := range chances {
		if at -= float64(p); at < 0 {
			return kept[i]
		}
	}
	return kept[len(kept)-1]
}
