package model

import (
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
)

// schemaOf is a schema whose only input and target make the spec.
func schemaOf(s Spec) dataset.Schema {
	if s.Tokens && s.Input != nil { // pairs of texts, the source of that length
		return dataset.Schema{
			{Name: dataset.SourceTokens, Type: dataset.Int32, Role: dataset.Input, Shape: s.Input, Ragged: true, Classes: s.Classes},
			{Name: dataset.ShiftedTokens, Type: dataset.Int32, Role: dataset.Input, Shape: []int{s.Context}, Classes: s.Classes, End: dataset.EndToken},
			{Name: dataset.TargetTokens, Type: dataset.Int32, Role: dataset.Target, Shape: []int{s.Context}, Classes: s.Classes},
		}
	}
	if s.Tokens {
		target := dataset.Field{Name: "next", Type: dataset.Int32, Role: dataset.Target, Shape: []int{s.Context}, Classes: s.Classes}
		if s.Hidden {
			target.Name = dataset.HiddenTokens
		}
		if s.Rows == 1 {
			target.Name, target.Shape = "label", nil
		}
		schema := dataset.Schema{{Name: "tokens", Type: dataset.Int32, Role: dataset.Input, Shape: []int{s.Context}, Ragged: s.Ragged, Classes: s.vocabulary()}}
		if s.Segments {
			schema = append(schema, dataset.Field{Name: dataset.TextSegments, Type: dataset.Int32, Role: dataset.Input, Shape: []int{s.Context}, Classes: 2})
		}
		if s.Documents {
			schema = append(schema, dataset.Field{Name: dataset.WindowPlaces, Type: dataset.Int32, Role: dataset.Input, Shape: []int{s.Context}, Classes: s.Context})
		}
		return append(schema, target)
	}
	return dataset.Schema{
		{Name: "values", Type: dataset.Float32, Role: dataset.Input, Shape: s.Input},
		{Name: "label", Type: dataset.Int32, Role: dataset.Target, Classes: s.Classes},
	}
}

// vocabulary is how many tokens there are, which for targets that are tokens the spec need not say.
func (s *Spec) vocabulary() int { return max(s.Vocabulary, s.Classes) }

// build builds a model that classifies.
func build(cfg config.Model, s Spec) (*Model, error) { return buildSmoothed(cfg, s, 0) }

func buildSmoothed(cfg config.Model, s Spec, smoothing float32) (*Model, error) {
	schema := schemaOf(s)
	l, err := loss.New(config.Train{Loss: config.LossCrossEntropy, LabelSmoothing: float64(smoothing)}, schema)
	if err != nil {
		return nil, err
	}
	return Build(cfg, schema, l)
}

func mustBuild(t testing.TB, cfg config.Model, spec Spec) *Model {
	t.Helper()
	m, err := build(cfg, spec)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// emptyBatch has room for n samples of the spec.
func emptyBatch(s Spec, n int) *dataset.Batch {
	b := &dataset.Batch{}
	b.Resize(n, schemaOf(s))
	return b
}

// targetsOf are the targets, which the last column has.
func targetsOf(b *dataset.Batch) []int32 { return b.Columns[len(b.Columns)-1].Ints }
