package trainer

import (
	"fmt"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
)

// A batch norm over one value a channel is refused where whole steps have it, and told where only an epoch's rest has it.
func TestCheckStatistics(t *testing.T) {
	const vector = "[{kind: linear, out: 16}, {kind: residual, stack: [{kind: batch_norm}]}, {kind: relu}, {kind: linear, out: 10}]"
	const image = "[{kind: conv, out: 4, kernel: 3}, {kind: batch_norm}, {kind: flatten}, {kind: linear, out: 10}]"
	const pooled = "[{kind: conv, out: 4, kernel: 3}, {kind: global_average_pool}, {kind: batch_norm}, {kind: linear, out: 10}]"
	const none = "[{kind: linear, out: 16}, {kind: layer_norm}, {kind: linear, out: 10}]"
	data, err := dataset.Open(config.Data{Kind: config.DataGlyphs})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		stack                   string
		seats, perSeat, samples int
		steps                   int
		note, err               string
	}{
		{vector, 4, 1, 32, 0, "", "small.yaml:6:25: train.batch_per_seat 1 gives batch norm model.stack[1].stack[0] one value of each channel"},
		{pooled, 4, 1, 32, 0, "", "batch norm model.stack[2] one value"},
		{image, 4, 1, 32, 0, "", ""},
		{none, 4, 1, 32, 0, "", ""},
		{vector, 4, 4, 32, 0, "", ""},
		{vector, 4, 4, 33, 0, "batch norm model.stack[1].stack[0] takes their variance for zero", ""},
		{vector, 4, 4, 33, 2, "", ""}, // the job ends before
		{vector, 4, 4, 40, 0, "", ""},
		{vector, 4, 4, 6, 0, "", "seats 4 have 6 samples among them, some only one"},
	} {
		text := fmt.Sprintf("name: small\nseed: 3\nseats: %d\nmodel: {kind: sequential, stack: %s}\ndata: {kind: glyphs}\ntrain: {batch_per_seat: %d, steps: %d}\n",
			test.seats, test.stack, test.perSeat, test.steps)
		job, err := config.Parse("small.yaml", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := BuildModel(job, data.Schema)
		if err != nil {
			t.Fatal(err)
		}
		note, err := CheckStatistics(job, m, test.samples)
		if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) || (note != "") != (test.note != "") || !strings.Contains(note, test.note) {
			t.Errorf("%s, %d seats of %d, %d samples: %q, %v", test.stack, test.seats, test.perSeat, test.samples, note, err)
		}
	}
}
