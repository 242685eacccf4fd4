package trainer

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"ringmaster/internal/config"
)

// assembleTable is a job on a table of 50 rows for training and 20 for evaluation, where y is a straight line of a and b, and kind says
// whether that is above 0. Every third row has weight 0 and a wrong answer.
func assembleTable(t *testing.T, layers, target, loss string) *Plan {
	t.Helper()
	dir := t.TempDir()
	row := func(i int) string {
		a, b := float64(i%7)/3-1, float64(i%5)/2-1
		y, w := 2*a-b+0.5, 1
		if i%3 == 2 {
			y, w = -y, 0
		}
		return fmt.Sprintf("%g,%g,%g,%v,%d\n", a, b, y, y > 0, w)
	}
	for name, rows := range map[string][2]int{"train.csv": {0, 50}, "eval.csv": {50, 70}} {
		text := "a,b,y,kind,w\n"
		for i := rows[0]; i < rows[1]; i++ {
			text += row(i)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	job, err := config.Parse("table.yaml", []byte(fmt.Sprintf(`
seats: 4
model: {kind: mlp, layers: %s}
data: {kind: csv, train: %q, eval: %q, features: [a, b], target: %s, categories: [%s], weight: w}
train: {steps: 400, batch_per_seat: 3, loss: %s, optimizer: {kind: adam, lr: 0.02}}
`, layers, filepath.Join(dir, "train.csv"), filepath.Join(dir, "eval.csv"), target, map[string]string{"kind": "kind"}[target], loss)), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Assemble(job)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTablesAreLearnt fits a line and a border between classes, on one worker and on three: rows of weight 0 spoil nothing and do not count, and
// numbers have no accuracy.
func TestTablesAreLearnt(t *testing.T) {
	for target, loss := range map[string]string{"y": config.LossMSE, "kind": config.LossCrossEntropy} {
		layers := map[string]string{"y": "[2, 1]", "kind": "[2, 8, 2]"}[target]
		p := assembleTable(t, layers, target, loss)
		ends := map[string]bool{}
		var e *Evaluation
		for _, workers := range []int{1, 3} {
			for _, tr := range train(t, p, workers, 1, 1, nil, nil) {
				ends[digestOf(tr)] = true
				var err error
				if e, err = p.Score(nil, tr.params, tr.stats); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(ends) != 1 {
			t.Errorf("%s: other bits on other rings", target)
		}
		if e.Count != 13 || e.Loss > 0.05 || target == "y" && !math.IsNaN(e.Accuracy) || target == "kind" && e.Accuracy != 1 {
			t.Errorf("%s: evaluation %+v, want 13 rows that count, learnt", target, e)
		}
	}
}
