package trainer

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/metric"
	"ringmaster/internal/rng"
	"ringmaster/internal/tokenizer"
)

// Metrics are the same in every bit on one worker, on three, and scored alone, in pieces of any size; they agree with what the
// evaluation tells anyway.
func TestMetricsOfARunAreThoseOfItsState(t *testing.T) {
	p := assemble(t, 5, ", metrics: [auc, accuracy, f1, top3, perplexity]")
	p.PerPass = 25
	var mu sync.Mutex
	seen := map[Evaluation]bool{}
	var params, stats []float32
	for _, workers := range []int{1, 3} {
		trained := train(t, p, workers, 1, 1, nil, nil, func(r *Run) {
			r.OnEpoch = func(e EpochEnd) {
				mu.Lock()
				defer mu.Unlock()
				seen[*e.Eval] = true
			}
		})
		state := trained[0].State()
		params, stats = state.Params, state.Stats
	}
	e, err := p.Score(nil, params, stats)
	if err != nil || len(seen) != 1 || !seen[*e] {
		t.Fatalf("scored %+v, %v; the runs %+v", e, err, seen)
	}
	figures, err := metric.Parse(e.Metrics)
	if err != nil || len(figures) != 5 || figures[0].Name != "auc" {
		t.Fatalf("%q, %v", e.Metrics, err)
	}
	plain := *p
	plain.Metrics = nil
	without, err := plain.Score(nil, params, stats)
	if err != nil || without.Metrics != "" || without.Loss != e.Loss || without.Accuracy != e.Accuracy || figures[1].Value != e.Accuracy {
		t.Errorf("%+v, without metrics %+v, %v", e, without, err)
	}
	if auc := figures[0].Value; auc < 0.6 || auc > 1 || math.Abs(figures[4].Value-math.Exp(e.Loss)) > 1e-12*figures[4].Value {
		t.Errorf("%s with the loss %v", e.Metrics, e.Loss)
	}
	whole := evaluateIn(t, p, evalBatch)
	if pieces := evaluateIn(t, p, 7); pieces != whole {
		t.Errorf("in pieces %+v, in batches %+v", pieces, whole)
	}
}

// Every kind of target: tokens, numbers and labels, with weights of samples.
func TestMetricsOfOtherTargets(t *testing.T) {
	text := assembleText(t)
	var err error
	text.Job.Train.Metrics = []string{"perplexity", "top2"}
	if text.Metrics, err = BuildMetrics(text.Job, text.Model, text.Data); err != nil {
		t.Fatal(err)
	}
	e := evaluateIn(t, text, evalBatch)
	figures, err := metric.Parse(e.Metrics)
	if err != nil || math.Abs(figures[0].Value-math.Exp(e.Loss)) > 1e-9 || figures[1].Value < e.Accuracy {
		t.Errorf("text: %+v, %v", e, err)
	}
	for _, c := range []struct {
		target, layers, loss string
		metrics              []string
		want                 func(e Evaluation, v []metric.Figure) bool
	}{
		{"y", "[2, 1]", config.LossMSE, []string{"mse", "rmse", "mae", "r2"}, func(e Evaluation, v []metric.Figure) bool {
			return math.Abs(v[0].Value-e.Loss) < 1e-6*e.Loss && v[1].Value == math.Sqrt(v[0].Value) && math.IsNaN(e.Accuracy)
		}},
		{"y", "[2, 1]", config.LossMAE, []string{"mae"}, func(e Evaluation, v []metric.Figure) bool { return math.Abs(v[0].Value-e.Loss) < 1e-6*e.Loss }},
		{"y", "[2, 1]", config.LossHuber, []string{"r2"}, func(e Evaluation, v []metric.Figure) bool { return !math.IsNaN(v[0].Value) }},
		{"kind", "[2, 1]", config.LossBinary, []string{"accuracy", "auc"}, func(e Evaluation, v []metric.Figure) bool {
			return v[0].Value == e.Accuracy && v[1].Value >= 0 && v[1].Value <= 1
		}},
	} {
		p := assembleTable(t, c.layers, c.target, c.loss)
		p.Job.Train.Metrics = c.metrics
		if p.Metrics, err = BuildMetrics(p.Job, p.Model, p.Data); err != nil {
			t.Fatal(err)
		}
		e := evaluateIn(t, p, evalBatch)
		if v, err := metric.Parse(e.Metrics); err != nil || len(v) != len(c.metrics) || !c.want(e, v) {
			t.Errorf("%s of %s: %+v, %v", c.loss, c.target, e, err)
		}
	}
}

// Rows of output that come piece by piece count as all at once, with the targets and the weights that belong to them.
func TestMetricsOfPiecesOfRows(t *testing.T) {
	p := assembleText(t)
	p.Job.Train.Metrics = []string{"perplexity", "top2", "f1"}
	var err error
	if p.Metrics, err = BuildMetrics(p.Job, p.Model, p.Data); err != nil {
		t.Fatal(err)
	}
	batch := &dataset.Batch{}
	if err := p.Data.Eval.Read(batch, []int32{0, 1, 2}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	width := p.Model.Loss().Width()
	rows := 3 * p.Model.Loss().Rows()
	outputs := make([]float32, rows*width)
	for i := range outputs {
		outputs[i] = float32(i*7919%1009) / 100
	}
	sums := func(piece int) []byte {
		s := newScorer(p.Metrics, p.Model, p.Data.Schema)
		s.part.Reset()
		s.batch = batch
		for at := 0; at < rows; at += piece {
			s.add(at, outputs[at*width:min(at+piece, rows)*width])
		}
		return s.part.Append(nil)
	}
	if whole, pieces := sums(rows), sums(5); !bytes.Equal(whole, pieces) || len(whole) == 0 {
		t.Errorf("%d bytes of sums in pieces differ from the %d of the whole", len(pieces), len(whole))
	}
}

func TestMetricsAreCheckedBeforeAnythingStarts(t *testing.T) {
	p := assemble(t, 4, "")
	for text, want := range map[string]string{
		"rmse":          "small.yaml:7:72: train.metrics: \"rmse\" is not a metric of this job; there are accuracy, topK, precision, recall, f1, auc, perplexity, bits_per_byte",
		"top11":         "train.metrics: \"top11\": want top1 to top10",
		"f1, f1":        "train.metrics: \"f1\" is listed twice",
		"accuracy":      "",
		"bits_per_byte": "small.yaml:7:72: train.metrics: \"bits_per_byte\" is for a text that is predicted token by token, where tokens are characters, bytes or a byte-level tokenizer's",
	} {
		job, err := config.Parse("small.yaml", []byte("\nname: small\nseed: 3\nseats: 4\nmodel: {kind: mlp, layers: [784, 24, 10]}\ndata: {kind: glyphs}\n"+
			"train: {steps: 25, batch_per_seat: 3, optimizer: {lr: 0.002}, metrics: ["+text+"]}\n"), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = BuildMetrics(job, p.Model, p.Data)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	p.Job.Train.Metrics = []string{"auc"}
	_, err := BuildMetrics(p.Job, p.Model, &dataset.Data{Eval: unread{count: 10_000_000}})
	if want := "train.metrics take 457 MiB over 10 outputs and 10000000 targets, the limit is 64 MiB: leave out auc"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	_, err = BuildMetrics(p.Job, p.Model, &dataset.Data{})
	if want := "train.metrics are computed over an evaluation set, which the data do not have"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if gatherRoom > allreduce.MaxGather {
		t.Errorf("records of %d bytes are allowed, and %d gathered", gatherRoom, allreduce.MaxGather)
	}
}

// Bits per byte are the loss of the targets' tokens over the bytes of the text that they are: of characters the loss in bits, of a tokenizer's tokens what
// the text itself has between the first token of the evaluation and its last.
func TestBitsPerByte(t *testing.T) {
	for _, c := range []struct{ data, tokenizer string }{{"the quick brown fox jumps over the lazy dog. ", ""}, {"über die Straße läuft ☃ ein brauner Fuchs. ", ""}, {"über die Straße läuft ☃ ein brauner Fuchs.\n", "bpe"}} {
		p := assembleBytes(t, strings.Repeat(c.data, 60), c.tokenizer)
		e := evaluateIn(t, p, evalBatch)
		figures, err := metric.Parse(e.Metrics)
		if err != nil {
			t.Fatal(err)
		}
		bytes, count := 0, 0
		for i := range p.Data.Eval.Len() {
			batch := &dataset.Batch{}
			if err := p.Data.Eval.Read(batch, []int32{int32(i)}, rng.Key{}); err != nil {
				t.Fatal(err)
			}
			for _, token := range batch.Columns[1].Ints {
				count++
				if c.tokenizer == "" {
					bytes += len(p.Data.Vocabulary.Decode([]int32{token}))
				}
			}
			if c.tokenizer != "" { // whole characters, but for what the windows cut
				bytes += len(strings.ReplaceAll(p.Data.Vocabulary.Decode(batch.Columns[1].Ints), "\ufffd", "?"))
			}
		}
		want := e.Loss * float64(count) / float64(bytes) / math.Ln2
		if tolerance := map[string]float64{"": 1e-9, "bpe": 0.02}[c.tokenizer]; math.Abs(figures[0].Value-want) > tolerance*want {
			t.Errorf("%s %s: %v bits per byte, want %v", c.data, c.tokenizer, figures[0].Value, want)
		}
	}
	if metric.HigherIsBetter("bits_per_byte") {
		t.Error("more bits count as better")
	}
}

// assembleBytes is a small GPT of a text that tells its bits per byte, with a tokenizer of the kind that is learnt from it.
func assembleBytes(t *testing.T, text, kind string) *Plan {
	t.Helper()
	dir := t.TempDir()
	file, data := filepath.Join(dir, "text.txt"), ""
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		learner, err := tokenizer.NewTrainer(tokenizer.Training{Kind: kind, Size: 264, MinCount: 2, Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := learner.Add(text[:len(text)/60]); err != nil {
			t.Fatal(err)
		}
		content, _, err := learner.Finish()
		if err != nil {
			t.Fatal(err)
		}
		data = ", tokenizer: " + filepath.Join(dir, "tokenizer.json")
		if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	job, err := config.Parse("text.yaml", []byte("name: text\nseats: 4\nmodel: {kind: gpt, depth: 1, heads: 2, width: 8}\ndata: {kind: text, context: 8, dir: "+file+data+
		"}\ntrain: {steps: 5, batch_per_seat: 2, metrics: [bits_per_byte]}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Assemble(job)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
