package checkpoint

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/metric"
)

// graded is a checkpoint of one run after epochs of 100 steps with these losses.
func graded(t *testing.T, step uint64, losses ...float64) saved {
	t.Helper()
	c := save(t, step, 1)
	m := *c.manifest
	m.Epochs = nil
	for i, loss := range losses {
		m.Epochs = append(m.Epochs, EpochMetrics{Epoch: i + 1, Step: uint64(100 * (i + 1)), HasEval: true, EvalLoss: loss, EvalCount: 1})
	}
	c.manifest = &m
	return c
}

// The best is that of the best epoch of which a good checkpoint is there, whether its own manifest knows that epoch or only a newer one.
func TestBestBy(t *testing.T) {
	m := disk.NewMemFS()
	s := mustOpen(t, m, "/s")
	for _, c := range []saved{graded(t, 100, 0.5), graded(t, 200, 0.5), graded(t, 250, 0.5, 0.2), graded(t, 400, 0.5, 0.2, 0.1, 0.4)} { // that of epoch 3 is not there
		must(t, c.put(s, true))
	}
	find := func(rule metric.Rule) (uint64, error) {
		found, err := Locate(m, "/s")
		must(t, err)
		e, err := found.BestBy(&rule)
		if err != nil {
			return 0, err
		}
		return e.Step, nil
	}
	if step, err := find(metric.Rule{Metric: "loss"}); err != nil || step != 200 {
		t.Errorf("step %d, %v", step, err)
	}
	if step, err := find(metric.Rule{Metric: "loss", Highest: true}); err != nil || step != 100 {
		t.Errorf("the highest loss: step %d, %v", step, err)
	}
	if _, err := find(metric.Rule{Metric: "f1"}); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "of which f1 is known") {
		t.Error(err)
	}
	must(t, m.Corrupt("/s/"+graded(t, 200).manifest.Folder()+"/model-00001-of-00002.safetensors", 40))
	if step, err := find(metric.Rule{Metric: "loss"}); err != nil || step != 400 {
		t.Errorf("where that is damaged: step %d, %v", step, err)
	}
}

// Pruning spares the best, whatever lies between it and the newest.
func TestPruneSparesTheBest(t *testing.T) {
	s := mustOpen(t, disk.NewMemFS(), "/s")
	origin := graded(t, 400, 0.5, 0.2, 0.3, 0.4)
	for _, c := range []saved{graded(t, 100, 0.5), graded(t, 200, 0.5, 0.2), graded(t, 300, 0.5, 0.2, 0.3), origin} {
		must(t, c.put(s, true))
	}
	for range 2 {
		p, err := Prune([]*Store{s}, origin.manifest, 1, &metric.Rule{Metric: "loss"})
		must(t, err)
		steps := []uint64{}
		for _, n := range p.Kept {
			steps = append(steps, n.Step)
		}
		if !slices.Equal(steps, []uint64{200, 400}) || folders(t, s) != "1:200/0/whole 1:400/0/whole" {
			t.Errorf("kept %v, left %s", steps, folders(t, s))
		}
	}
}
