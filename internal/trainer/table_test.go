package trainer

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
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

// twoInputs is a job on columns of a table that make two inputs of a graph: a category and a number side by side, and a number alone.
func twoInputs(t *testing.T, edit ...string) (*Plan, error) {
	t.Helper()
	dir := t.TempDir()
	var text strings.Builder
	text.WriteString("colour,a,b,y,kind\n")
	for i := range 60 {
		a, b := float64(i%7)/3-1, float64(i%5)/2-1
		fmt.Fprintf(&text, "%s,%g,%g,%g,%v\n", []string{"red", "blue", "green"}[i%3], a, b, 2*a-b+float64(i%3), a > b)
	}
	path := filepath.Join(dir, "rows.csv")
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	file := strings.NewReplacer(edit...).Replace(fmt.Sprintf(`
seats: 4
model:
    kind: graph
    inputs: [look, size]
    nodes:
        - {name: left, kind: linear, inputs: [look], out: 6}
        - {name: right, kind: linear, inputs: [size], out: 6}
        - {name: sum, kind: add, inputs: [left, right]}
        - {name: bent, kind: tanh}
        - {name: all, kind: concat, inputs: [bent, size]}
        - {name: fc, kind: linear, out: 1}
data:
    kind: csv
    train: %q
    split: {eval: 0.2}
    inputs: [{name: look, columns: [b, colour]}, {name: size, columns: [a]}]
    target: y
    categories: [colour]
    standardize: [a]
train: {steps: 300, batch_per_seat: 3, loss: mse, optimizer: {kind: adam, lr: 0.02}}
`, path))
	job, err := config.Parse("inputs.yaml", []byte(file), nil)
	if err != nil {
		return nil, err
	}
	return Assemble(job)
}

// A graph reads two inputs that columns of a table make, is learnt, and has the same bits on any ring.
func TestTwoInputsOfATable(t *testing.T) {
	p, err := twoInputs(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.Data.Schema.Of(dataset.Input)[0], "; ", p.Data.Schema.Of(dataset.Input)[1]); got != "look: float32 4; size: float32" {
		t.Errorf("the inputs are %s", got)
	}
	tr := sameEverywhere(t, p)
	if e, err := p.Score(nil, tr.params, tr.stats); err != nil || e.Loss > 0.05 {
		t.Errorf("%+v, %v: two inputs are not learnt", e, err)
	}
	recalled, err := dataset.Recall(p.Job.Data, p.Data.Describe())
	if err != nil || len(recalled.Schema) != 3 || recalled.Schema[0].String() != p.Data.Schema[0].String() || recalled.Schema[1].String() != p.Data.Schema[1].String() {
		t.Errorf("recalled %v, %v", recalled, err)
	}
	for edit, want := range map[[2]string]string{
		{"name: size, columns", "name: height, columns"}:        "model.inputs[1]: the data has no input size; there are look, height",
		{"columns: [a]}", "columns: [a, b]}"}:                   "inputs.yaml:17:",
		{"columns: [a]}", "columns: [a, c]}"}:                   `inputs.yaml:17:76: data.inputs[1].columns[1]: rows.csv has no column "c"`,
		{"name: size, columns", "name: b, columns"}:             "b is a column of another input",
		{"name: size, columns", "name: look, columns"}:          "look is the name of two inputs",
		{"    target: y", "    target: y\n    features: [a]"}:   "data.features names columns too; leave one of them out",
		{"    target: y", "    target: y\n    targets: [kind]"}: "data.target names a target too; leave one of them out",
	} {
		if _, err := twoInputs(t, edit[0], edit[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", edit[1], err, want)
		}
	}
}

// twoOutputs turns the job of twoInputs into one of two outputs.
var twoOutputs = []string{
	"        - {name: fc, kind: linear, out: 1}", "        - {name: price, kind: linear, out: 1}\n        - {name: head, kind: linear, inputs: [all], out: 2}",
	"    target: y", "    targets: [y, kind]",
	"categories: [colour]", "categories: [colour, kind]",
	"loss: mse", "losses: [{output: price, target: y, kind: mse, weight: 0.5}, {output: head, target: kind}]",
}

// Two outputs are learnt together, the bits are those of any ring, and the first is the one that has metrics.
func TestTwoOutputs(t *testing.T) {
	p, err := twoInputs(t, twoOutputs...)
	if err != nil {
		t.Fatal(err)
	}
	tr := sameEverywhere(t, p)
	e, err := p.Score(nil, tr.params, tr.stats)
	if err != nil || e.Loss > 0.15 || e.Count != 12 || !math.IsNaN(e.Accuracy) {
		t.Errorf("%+v, %v: two outputs are not learnt", e, err)
	}
	swapped := append(slices.Clone(twoOutputs[:7]), "losses: [{output: head, target: kind}, {output: price, target: y, kind: mse, weight: 0.5}]")
	if p, err = twoInputs(t, swapped...); err != nil {
		t.Fatal(err)
	}
	tr = train(t, p, 1, 1, 1, nil, nil)[0]
	if other, err := p.Score(nil, tr.params, tr.stats); err != nil || other.Accuracy < 0.9 || math.Abs(other.Loss-e.Loss) > 1e-3 {
		t.Errorf("%+v, %v: the losses in another order end far from %+v", other, err, e)
	}
	for edit, want := range map[[2]string]string{
		{"output: head, target: kind", "output: hat, target: kind"}:                    "inputs.yaml:22:110: train.losses[1].output: there is no node hat",
		{"output: head, target: kind", "output: bent, target: kind"}:                   "nobody reads node head, and none of train.losses does",
		{"output: head, target: kind", "output: head, target: sort"}:                   "train.losses[1]: the data has no field sort",
		{"output: head, target: kind", "output: head, target: y"}:                      "train.losses[1]: cross_entropy compares with classes, but the target y is numbers",
		{"kind: mse, weight: 0.5", "kind: mse, weight: 0"}:                             "train.losses[0].weight must be above 0",
		{"output: price, target: y", "output: price"}:                                  "train.losses[0].target is missing",
		{"train: {", "train: {target: y, "}:                                            "train.target: train.losses say what is compared; leave it out",
		{"inputs: [all], out: 2}", "inputs: [all], out: 3}"}:                           "node head gives 3 values but the data has 2 classes",
		{"{output: head, target: kind}", "{output: price, target: y, kind: mse}"}:      "nobody reads node head",
		{"    inputs: [look, size]\n", "    inputs: [look, size]\n    output: head\n"}: "train.losses name the outputs; leave it out",
	} {
		edits := slices.Clone(twoOutputs)
		edits[7] = strings.NewReplacer(edit[0], edit[1]).Replace(edits[7])
		edits[1] = strings.NewReplacer(edit[0], edit[1]).Replace(edits[1])
		if _, err := twoInputs(t, append(edits, edit[0], edit[1])...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", edit[1], err, want)
		}
	}
}
