package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	tables "ringmaster/internal/table"
	"ringmaster/internal/trainer"
)

// TestAnswersOfSeveralOutputs asks a model of three losses over two outputs about rows. Each output has columns under its name, and where two losses
// read it, under its target's too; classes are those of their own target.
func TestAnswersOfSeveralOutputs(t *testing.T) {
	dir := t.TempDir()
	rows := filepath.Join(dir, "rows.csv")
	if err := os.WriteFile(rows, []byte("a,b,price,kind,low\n1,2,3,cat,0\n2,1,5,dog,1\n3,3,4,cow,0\n4,0,1,cat,1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	job, err := config.Parse("job.yaml", fmt.Appendf(nil, `
name: outputs
seats: 1
data: {kind: csv, train: %q, targets: [price, kind, low], categories: [kind]}
model:
    kind: graph
    nodes:
        - {name: hidden, kind: linear, out: 4}
        - {name: cost, kind: linear, inputs: [hidden], out: 1}
        - {name: animal, kind: linear, inputs: [hidden], out: 3}
train:
    batch_per_seat: 4
    losses: [{output: cost, target: price, kind: mse}, {output: animal, target: kind}, {output: cost, target: low, kind: binary}]
`, rows), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := trainer.Assemble(job)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := trainer.New(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	state := tr.State()
	asked := &trained{job: job, data: p.Data, plan: p, state: &checkpoint.State{Params: state.Params, Stats: state.Stats}}
	from, err := p.Data.Ask(job.Data, rows, nil, tables.CSV, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	var out bytes.Buffer
	count, err := asked.answer(from, []string{"a"}, &out, tables.CSV)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	const want = "a,cost_price_prediction,animal_prediction,animal_probability_cat,animal_probability_cow,animal_probability_dog,cost_low_prediction,cost_low_probability_0,cost_low_probability_1"
	if lines[0] != want || count != 4 || len(lines) != 5 {
		t.Fatalf("%d answers:\n%s\nwant the columns\n%s", count, out.String(), want)
	}
	for _, line := range lines[1:] {
		cells := strings.Split(line, ",")
		sum := 0.0
		for _, cell := range cells[3:6] {
			v, err := strconv.ParseFloat(cell, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += v
		}
		z, _ := strconv.ParseFloat(cells[1], 64)
		yes, err := strconv.ParseFloat(cells[8], 64)
		if err != nil || sum < 0.999 || sum > 1.001 || z > 0 != (yes > 0.5) || z > 0 != (cells[6] == "1") {
			t.Errorf("answer %s", line)
		}
	}
}
