package model

import (
	"errors"
	"fmt"
	"slices"

	"ringmaster/internal/dataset"
	"ringmaster/internal/rng"
)

// Answer writes a target for a source, of at most count tokens, and gives each to emit, which may end it early by returning false. It
// ends before the end token. What is drawn is a pure function of the key. Logits that are not finite are ErrNotFinite.
func (r *Replica) Answer(params, stats []float32, source []int32, count int, how Sampling, key rng.Key, emit func(token int32) bool) error {
	m, ok := r.model.network.(*t5)
	schema := r.model.schema
	switch {
	case !ok:
		return errors.New("the model does not answer one text by another")
	case len(source) == 0 || len(source) > m.source:
		return fmt.Errorf("the text has %d tokens with its end, where the model reads 1 to %d", len(source), m.source)
	}
	var batch dataset.Batch
	batch.Resize(1, schema)
	from, shifted := &batch.Columns[schema.Find(dataset.SourceTokens)], batch.Columns[schema.Find(dataset.ShiftedTokens)].Ints
	clear(from.Ints[copy(from.Ints, source):])
	from.Lengths[0] = int32(len(source))
	start, end := schema[schema.Find(dataset.ShiftedTokens)].Start, schema[schema.Find(dataset.ShiftedTokens)].End
	for i := range shifted {
		shifted[i] = start // what stands behind a place is not seen by it
	}
	var s *sampler
	for i := range min(count, m.target) {
		logits, _, classes := r.Predict(params, stats, &batch)
		if s == nil {
			s = newSampler(classes, how)
		}
		next := logits[i*classes : (i+1)*classes]
		if slices.ContainsFunc(next, func(z float32) bool { return !finite(float64(z)) }) {
			return ErrNotFinite
		}
		token := s.choose(next, key.Float32(uint64(i)))
		if token == end || !emit(token) {
			return nil
		}
		if i+1 < m.target {
			shifted[i+1] = token
		}
	}
	return nil
}
