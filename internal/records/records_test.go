package records

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"ringmaster/internal/checkpoint"
)

var rewrite = flag.Bool("rewrite", false, "write the files in testdata again")

// sample is a run of 1,030 steps, so that a point covers two, with two epochs and figures that are hard to write.
func sample() *Run {
	h := checkpoint.NewHistory(false)
	for step := uint64(1); step <= 1030; step++ {
		x := float64(step)
		h.Note(step, 2/math.Sqrt(x), 1-1/x, 1e-3/x, func() float64 { return 1 + 1/(x*x) })
	}
	h[700], h[2*checkpoint.HistoryPoints] = float32(math.NaN()), float32(math.Inf(1))
	return New(1030, h, []checkpoint.EpochMetrics{
		{Epoch: 1, Step: 500, TrainLoss: 0.1, HasEval: true, EvalLoss: 1.0 / 3, EvalAccuracy: 0.9645, EvalCount: 2000, Metrics: "accuracy=0.9645 f1=0.5 auc=NaN"},
		{Epoch: 2, Step: 1001, TrainLoss: 0.05, HasEval: true, EvalLoss: math.Inf(1), EvalAccuracy: math.NaN(), Metrics: "f1=0.75 top5=1"},
	}, nil)
}

// Every form is what was recorded. tensorboard.json is what TensorBoard's own reader found in the event file: bench/read_events.py.
func TestFormsAreAsRecorded(t *testing.T) {
	r := sample()
	for name, write := range map[string]func(*bytes.Buffer) error{
		"metrics.jsonl":                 func(b *bytes.Buffer) error { return r.WriteJSONL(b) },
		"metrics.csv":                   func(b *bytes.Buffer) error { return r.WriteCSV(b) },
		"events.out.tfevents.0.records": func(b *bytes.Buffer) error { return r.WriteEvents(b) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *rewrite {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(want, b.Bytes()) {
			t.Errorf("%s is not what is written now (%v): go test ./internal/records -rewrite, then bench/read_events.py internal/records/testdata", path, err)
		}
	}
}

func TestLinesOfJSON(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteJSONL(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 515+2 {
		t.Fatalf("%d lines, want 515 points and 2 epochs", len(lines))
	}
	last := 0.0
	for i, line := range lines {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("line %d: %v: %s", i+1, err, line)
		}
		step, ok := row["step"].(float64)
		if !ok || step < last {
			t.Errorf("line %d: step %v behind %v", i+1, row["step"], last)
		}
		last = step
	}
	for _, want := range []string{`{"step":500,"epoch":1,"train_loss":0.1,"eval_loss":0.3333333333333333,"eval_accuracy":0.9645,"eval_f1":0.5,"eval_auc":null}`,
		`{"step":1001,"epoch":2,"train_loss":0.05,"eval_loss":null,"eval_f1":0.75,"eval_top5":1}`} {
		if !strings.Contains(b.String(), "\n"+want+"\n") {
			t.Errorf("there is no line %s", want)
		}
	}
}

// recordsOf reads an event file: framing, both checksums, and each event.
func recordsOf(t *testing.T, data []byte) (events []event) {
	t.Helper()
	table := crc32.MakeTable(crc32.Castagnoli)
	check := func(sum uint32, data []byte) {
		t.Helper()
		rotated := sum - 0xa282ead8
		if rotated<<15|rotated>>17 != crc32.Checksum(data, table) {
			t.Fatal("a checksum is wrong")
		}
	}
	for len(data) > 0 {
		if len(data) < 12 {
			t.Fatalf("%d bytes are left, no record", len(data))
		}
		n := binary.LittleEndian.Uint64(data)
		check(binary.LittleEndian.Uint32(data[8:]), data[:8])
		if uint64(len(data)) < 16+n {
			t.Fatalf("a record of %d bytes is cut short", n)
		}
		body := data[12 : 12+n]
		check(binary.LittleEndian.Uint32(data[12+n:]), body)
		events = append(events, parse(t, body))
		data = data[16+n:]
	}
	return events
}

type event struct {
	wall    float64
	step    uint64
	version string
	started bool
	scalars map[string]float32
}

// fields calls take with each field of a message.
func fields(t *testing.T, b []byte, take func(n protowire.Number, number uint64, data []byte)) {
	t.Helper()
	for len(b) > 0 {
		n, kind, used := protowire.ConsumeTag(b)
		if used < 0 {
			t.Fatal("no tag")
		}
		b = b[used:]
		var number uint64
		var data []byte
		switch kind {
		case protowire.VarintType:
			number, used = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			number, used = protowire.ConsumeFixed64(b)
		case protowire.Fixed32Type:
			var x uint32
			x, used = protowire.ConsumeFixed32(b)
			number = uint64(x)
		default:
			data, used = protowire.ConsumeBytes(b)
		}
		if used < 0 {
			t.Fatalf("field %d is damaged", n)
		}
		take(n, number, data)
		b = b[used:]
	}
}

func parse(t *testing.T, body []byte) event {
	t.Helper()
	e := event{scalars: map[string]float32{}}
	fields(t, body, func(n protowire.Number, number uint64, data []byte) {
		switch n {
		case 1:
			e.wall = math.Float64frombits(number)
		case 2:
			e.step = number
		case 3:
			e.version = string(data)
		case 5:
			fields(t, data, func(_ protowire.Number, _ uint64, data []byte) {
				var tag string
				var x float32
				fields(t, data, func(n protowire.Number, number uint64, data []byte) {
					if n == 1 {
						tag = string(data)
					} else {
						x = math.Float32frombits(uint32(number))
					}
				})
				e.scalars[tag] = x
			})
		case 7:
			e.started = true
		}
	})
	return e
}

// TensorBoard's own reader and ours find the same scalars in the recorded file.
func TestEventsAreWhatTensorBoardReads(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteEvents(&b); err != nil {
		t.Fatal(err)
	}
	events := recordsOf(t, b.Bytes())
	if events[0].version != "brain.Event:2" || !events[1].started {
		t.Fatalf("the file begins with %+v, %+v", events[0], events[1])
	}
	text, err := os.ReadFile(filepath.Join("testdata", "tensorboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var read map[string][]struct {
		Step  uint64
		Value string // as Python writes it
	}
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, e := range events {
		for tag, x := range e.scalars {
			at := count[tag]
			count[tag]++
			if at >= len(read[tag]) || read[tag][at].Step != e.step || read[tag][at].Value != python(x) {
				t.Fatalf("%s at step %d is %s, TensorBoard reads %+v", tag, e.step, python(x), read[tag][min(at, len(read[tag])):min(at+1, len(read[tag]))])
			}
		}
	}
	for tag, values := range read {
		if count[tag] != len(values) {
			t.Errorf("%s has %d values, TensorBoard reads %d", tag, count[tag], len(values))
		}
	}
	for _, tag := range []string{"train/loss", "train/lr", "train/grad_norm", "train/accuracy", "eval/loss", "eval/accuracy", "eval/f1", "epoch/train_loss"} {
		if count[tag] == 0 {
			t.Errorf("there is no %s", tag)
		}
	}
}

// python writes the bits of a float32 as bench/read_events.py does.
func python(x float32) string {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], math.Float32bits(x))
	const digits = "0123456789abcdef"
	var out []byte
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

// A file that goes on after a resume says from which step on it counts, and holds nothing of the steps before.
func TestEventsGoOn(t *testing.T) {
	e := NewEvents(12.5, 601)
	e.AddRun(sample(), 12.5, 600, 1)
	var b bytes.Buffer
	if _, err := e.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	events := recordsOf(t, b.Bytes())
	if events[1].step != 601 || len(events) != 2+215+1 {
		t.Errorf("%d events, the second is of step %d", len(events), events[1].step)
	}
	for _, e := range events[2:] {
		if e.step <= 600 || e.wall != 12.5 {
			t.Errorf("event of step %d at %g", e.step, e.wall)
		}
	}
	if n, err := e.WriteTo(&b); n != 0 || err != nil {
		t.Errorf("written twice: %d bytes, %v", n, err)
	}
}

// BenchmarkRewrite is what a launch does at a checkpoint: both files of metrics and the event file of a whole history.
func BenchmarkRewrite(b *testing.B) {
	r := sample()
	for b.Loop() {
		var out bytes.Buffer
		e := NewEvents(0, 0)
		e.AddRun(r, 0, 0, 0)
		if _, err := e.WriteTo(&out); err != nil || r.WriteJSONL(&out) != nil || r.WriteCSV(&out) != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStatus is what a launch does with each status of a job.
func BenchmarkStatus(b *testing.B) {
	g := &training{now: time.Unix(1_800_000_000, 0), histories: map[string]checkpoint.History{}}
	s, n := g.at(40), newNews(0, 0, false)
	for b.Loop() {
		s.Step++
		g.now = g.now.Add(250 * time.Millisecond)
		_ = n.take(s, g.now)
	}
}
