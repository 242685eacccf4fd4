package model

import (
	"errors"
	"fmt"
	"slices"

	"ringmaster/internal/dataset"
)

// Fill gives the logits of what a model of hidden tokens expects at each of the tokens, a row of classes values for each. There may be fewer than
// the model's context holds: then no token attends to what is missing. Logits that are not finite are ErrNotFinite.
func (r *Replica) Fill(params, stats []float32, tokens []int32) (logits []float32, classes int, err error) {
	spec, err := specOf(r.model.schema, r.model.loss)
	switch {
	case err != nil || !spec.Hidden:
		return nil, 0, errors.New("the model guesses no hidden tokens; one of model.kind: bert, trained with data.mask, does")
	case len(tokens) == 0 || len(tokens) > spec.Context:
		return nil, 0, fmt.Errorf("the text has %d tokens, where the model reads 1 to %d", len(tokens), spec.Context)
	}
	for i, token := range tokens {
		if token < 0 || int(token) >= spec.Vocabulary {
			return nil, 0, fmt.Errorf("token %d of the text is %d, outside the vocabulary of %d", i, token, spec.Vocabulary)
		}
	}
	var batch dataset.Batch
	batch.Resize(1, r.model.schema)
	column := &batch.Columns[r.model.schema.Find(spec.Field)]
	clear(column.Ints[copy(column.Ints, tokens):])
	column.Lengths = []int32{int32(len(tokens))}
	logits, _, classes = r.Predict(params, stats, &batch)
	logits = logits[:len(tokens)*classes]
	if slices.ContainsFunc(logits, func(z float32) bool { return !finite(float64(z)) }) {
		return nil, 0, ErrNotFinite
	}
	return logits, classes, nil
}
