package model

import (
	"math"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/rng"
)

// TestDocumentsArePackedAsIfAlone compares the loss and the gradient of samples that hold several documents with those of the documents by themselves.
func TestDocumentsArePackedAsIfAlone(t *testing.T) {
	for _, cfg := range []config.Model{{Kind: config.ModelGPT, Depth: 2, Heads: 2, Width: 16}, smallLLaMA(2, 0, false)} {
		t.Run(cfg.Kind, func(t *testing.T) { checkDocuments(t, cfg) })
	}
}

func checkDocuments(t *testing.T, cfg config.Model) {
	spec := Spec{Tokens: true, Classes: 13, Context: 100, Documents: true}
	packed := mustBuild(t, cfg, spec)
	params := filled(packed)
	documents := [][]int{{3, 1, 66, 30}, {100}, {64, 36}}
	batch := emptyBatch(spec, len(documents))
	tokens, places, next := batch.Columns[0].Ints, batch.Columns[1].Ints, batch.Columns[2].Ints
	copy(tokens, chosen(len(tokens), 500, 13))
	copy(next, chosen(len(next), 501, 13))

	spec.Documents = false
	alone := mustBuild(t, cfg, spec)
	want, r := make([]float64, alone.Len()), alone.NewReplica(nil)
	grad := make([]float32, alone.Len())
	loss, at := 0.0, 0
	for _, lengths := range documents {
		for _, n := range lengths {
			one := emptyBatch(spec, 1)
			for i := range spec.Context {
				one.Columns[1].Ints[i] = -1
				one.Columns[0].Ints[i] = 0
			}
			for i := range n {
				places[at+i] = int32(i)
			}
			next[at+n-1] = -1 // what follows is of another document
			copy(one.Columns[0].Ints, tokens[at:at+n])
			copy(one.Columns[1].Ints, next[at:at+n])
			result := r.Gradient(params, nil, grad, one, rng.Key{}, nil, nil)
			loss += result.Loss
			for i, g := range grad {
				want[i] += float64(g)
			}
			at += n
		}
	}
	got := packed.NewReplica(nil).Gradient(params, nil, grad, batch, rng.Key{}, nil, nil)
	if got.Count != 300-7 || math.Abs(got.Loss-loss) > 1e-6*loss {
		t.Errorf("packed, %d targets have a loss of %.9g, by themselves of %.9g", got.Count, got.Loss, loss)
	}
	for _, p := range packed.Params() {
		norm, difference := 0.0, 0.0
		for i := p.Interval.Begin; i < p.Interval.End; i++ {
			norm += want[i] * want[i]
			difference += (want[i] - float64(grad[i])) * (want[i] - float64(grad[i]))
		}
		if math.Sqrt(difference) > 2e-6*math.Sqrt(norm) {
			t.Errorf("%s: the gradient differs by %.3g of %.3g", p.Name, math.Sqrt(difference), math.Sqrt(norm))
		}
	}
}

// TestPromptsAreOneDocument predicts by a model of documents as by one without them.
func TestPromptsAreOneDocument(t *testing.T) {
	for _, cfg := range []config.Model{{Kind: config.ModelGPT, Depth: 1, Heads: 2, Width: 8}, smallLLaMA(2, 0, false)} {
		checkPrompts(t, cfg)
	}
}

func checkPrompts(t *testing.T, cfg config.Model) {
	spec := Spec{Tokens: true, Classes: 13, Context: 9}
	plain := mustBuild(t, cfg, spec)
	spec.Documents = true
	documents := mustBuild(t, cfg, spec)
	params := filled(plain)
	batch := func(m *Model) *dataset.Batch {
		b := &dataset.Batch{}
		b.Resize(1, m.schema)
		copy(b.Columns[0].Ints, chosen(9, 500, 13))
		return b
	}
	want, _, _ := plain.NewReplica(nil).Predict(params, nil, batch(plain))
	got, _, _ := documents.NewReplica(nil).Predict(params, nil, batch(documents))
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("logit %d is %g, without documents %g", i, got[i], want[i])
		}
	}
}
