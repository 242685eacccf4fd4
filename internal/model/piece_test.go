package model

import (
	"fmt"
	"testing"

	"ringmaster/internal/dataset"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// cut is the part of the batch that holds the samples [begin, end).
func cut(b *dataset.Batch, spec Spec, begin, end int) *dataset.Batch {
	part := &dataset.Batch{N: end - begin, Columns: make([]dataset.Column, len(b.Columns))}
	for k, f := range schemaOf(spec) {
		from, to := begin*f.Width(), end*f.Width()
		if f.Type == dataset.Float32 {
			part.Columns[k].Floats = b.Columns[k].Floats[from:to]
		} else {
			part.Columns[k].Ints = b.Columns[k].Ints[from:to]
		}
		if f.Ragged {
			part.Columns[k].Lengths = b.Columns[k].Lengths[begin:end]
		}
	}
	return part
}

// TestPiecesComeToTheWhole evaluates a batch in pieces of several sizes, on every kernel tier and with several threads: all
// come to the sums of the whole in every bit.
func TestPiecesComeToTheWhole(t *testing.T) {
	const samples = 256
	team := kernel.NewTeam(3)
	defer team.Close()
	for name, c := range families {
		m := mustBuild(t, c.cfg, c.spec)
		params, stats := initial(m, 1)
		for i := range stats { // neither 0 nor 1, so that batch norm computes
			stats[i] = 0.3 + float32(i%7)/5
		}
		batch := randomBatch(c.spec, samples, 5)
		for i := range targetsOf(batch) {
			if i%11 == 3 {
				targetsOf(batch)[i] = tensor.IgnoredTarget
			}
		}
		want := m.NewReplica(nil).Evaluate(params, stats, batch, Result{})
		if ignored := (len(targetsOf(batch)) + 7) / 11; want.Count != uint64(len(targetsOf(batch))-ignored) || want.Loss == 0 || !want.Finite {
			t.Fatalf("%s: %+v of %d targets, %d of which are ignored", name, want, len(targetsOf(batch)), ignored)
		}
		in := func(r *Replica, piece int, where string) {
			got := Result{}
			for at := 0; at < samples; at += piece {
				got = r.Evaluate(params, stats, cut(batch, c.spec, at, min(at+piece, samples)), got)
			}
			if got != want {
				t.Errorf("%s, %s, in pieces of %d: %+v, the whole %+v", name, where, piece, got, want)
			}
		}
		for _, piece := range []int{1, 3, 7, 64, samples} {
			in(m.NewReplica(team), piece, "three threads")
		}
		for _, tier := range kernel.Tiers() {
			restore := kernel.Force(tier)
			in(m.NewReplica(nil), 7, fmt.Sprint(tier))
			restore()
		}
	}
}

// TestPlannedBytesAreWhatAReplicaTakes compares what is said beforehand with the arena that computing made.
func TestPlannedBytesAreWhatAReplicaTakes(t *testing.T) {
	for name, c := range families {
		m := mustBuild(t, c.cfg, c.spec)
		params, stats := initial(m, 1)
		batch := randomBatch(c.spec, 9, 1)
		carried := 9 * schemaOf(c.spec).SampleBytes()
		r := m.NewReplica(nil)
		r.Evaluate(params, stats, batch, Result{})
		if got, want := m.EvaluationBytes(9), int64(carried+4*len(r.arena)); got != want {
			t.Errorf("%s: an evaluation was to take %d bytes and takes %d", name, got, want)
		}
		r = m.NewReplica(nil)
		r.Gradient(params, stats, make([]float32, m.Len()), batch, rng.Key{}, nil, nil)
		if got, want := m.TrainingBytes(9), int64(carried+4*len(r.arena)); got != want {
			t.Errorf("%s: a gradient was to take %d bytes and takes %d", name, got, want)
		}
		if got := m.TrainingBytes(0); got != 0 {
			t.Errorf("%s: no samples take %d bytes", name, got)
		}
	}
}
