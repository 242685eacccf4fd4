package trainer

import (
	"encoding/json"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/model"
	"ringmaster/internal/optim"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
)

// recordedStep is what testdata/steps.py has of a step of an optimizer.
type recordedStep struct {
	Rate    float64
	Loss    float64
	Tensors []recordedTensor
}

// recordedTensor is a parameter after a step.
type recordedTensor struct {
	name             string
	norm, projection float64
	at               []int
	values           []float64
}

func (r *recordedTensor) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, &[]any{&r.name, &r.norm, &r.projection, &r.at, &r.values})
}

// mixed is the script's bits.
func mixed(i int, seed uint32) uint32 {
	x := uint32(i) + seed
	for _, multiplier := range []uint32{0x7FEB352D, 0x846CA68B} {
		x ^= x >> 16
		x *= multiplier
	}
	return x ^ x>>16
}

func drawInto(dst []float32, seed uint32, scale, shift float64) {
	for i := range dst {
		dst[i] = float32((float64(mixed(i, seed))/(1<<32)-0.5)*scale + shift)
	}
}

func chooseInto(dst []int32, seed uint32, below int) {
	for i := range dst {
		dst[i] = int32(mixed(i, seed) % uint32(below))
	}
}

// firstValues are the script's parameters before the step.
func firstValues(m *model.Model) []float32 {
	params := make([]float32, m.Len())
	for _, p := range m.Params() {
		values, seed := params[p.Interval.Begin:p.Interval.End], crc32.ChecksumIEEE([]byte(p.Name))
		switch {
		case len(p.Shape) > 1:
			drawInto(values, seed, 2*math.Sqrt(3/(float64(len(values))/float64(p.Shape[0]))), 0)
		case strings.HasSuffix(p.Name, "weight"):
			drawInto(values, seed, 0.4, 1)
		default:
			drawInto(values, seed, 0.4, 0)
		}
	}
	return params
}

// readyData are the descriptions of the ready jobs' data.
func readyData(t *testing.T, job *config.Job) *dataset.Data {
	t.Helper()
	var text string
	switch {
	case job.Name == "mobilenetv2-imagenet" || job.Name == "mobilenetv2-imagenet-keras":
		text = `{"input": [3, 224, 224], "columns": 224, "classes": 1000}`
	case job.Data.Codes != "":
		text = `{"classes": 0, "captions": {"words": ["a", "eight", "five", "four", "nine", "one", "seven", "six", "three", "two", "zero"],
			"length": 2, "rows": 7, "columns": 7, "codes": 32, "coder": ""}}`
	case job.Data.Kind == config.DataImages:
		text = `{"input": [3, 32, 32], "columns": 32, "classes": 10}`
	case job.Data.Kind == config.DataText && job.Data.Encoding == config.EncodingBytes:
		text = `{"context": 128, "classes": 256}`
	case job.Data.Kind == config.DataText:
		characters := ""
		for c := 'A'; c < 'A'+65; c++ {
			characters += string(c)
		}
		raw, _ := json.Marshal(characters)
		text = `{"context": 64, "classes": 65, "characters": ` + string(raw) + `}`
	default:
		text = `{"input": [784], "columns": 28, "classes": 10}`
	}
	d, err := dataset.Recall(job.Data, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// readyBatch is the script's batch.
func readyBatch(d *dataset.Data) *dataset.Batch {
	b := &dataset.Batch{}
	in, target := d.Schema[0], d.Schema[1]
	switch {
	case in.Type == dataset.Int32:
		b.Resize(3, d.Schema)
		chooseInto(b.Columns[0].Ints, 500, in.Classes)
	case len(in.Shape) == 3:
		b.Resize(4, d.Schema)
		drawInto(b.Columns[0].Floats, 500, 4, 0)
	default:
		b.Resize(3, d.Schema)
		drawInto(b.Columns[0].Floats, 500, 1, 0.5)
	}
	chooseInto(b.Columns[1].Ints, 501, target.Classes)
	if d.Captions != nil { // the means over 2 words and over 49 codes count for 1/8 and 7/8
		for i := range b.Columns[2].Floats {
			b.Columns[2].Floats[i] = 51 * 0.875 / 49
			if i%51 < 2 {
				b.Columns[2].Floats[i] = 51 * 0.125 / 2
			}
		}
	}
	return b
}

// withoutDropout removes what is random in a step.
func withoutDropout(job *config.Job) {
	job.Model.Dropout = 0
	for i := range job.Model.Stack {
		job.Model.Stack[i].Rate = 0
	}
}

// One step of SGD, Adam and AdamW is the peers' on every ready job's model, from the same weights and batch: the loss before it, and every
// parameter after it, within 1e-5 of their scale.
func TestAStepOfEveryReadyJobIsThePeers(t *testing.T) {
	raw, err := os.ReadFile("testdata/steps.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Jobs map[string]map[string]recordedStep
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../configs/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d ready jobs, %v", len(files), err)
	}
	recorded := 0
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		if name == "worker" || name == "coordinator" || name == "hosts" {
			continue
		}
		job, err := config.Load(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains([]string{config.ModelBERT, config.ModelLLaMA, config.ModelT5}, job.Model.Kind) {
			continue // internal/model has its steps
		}
		if job.Model.Kind == config.ModelGPT && job.Data.Tokenizer != "" {
			continue // the model of the job with characters, of another width and vocabulary
		}
		found := false
		for _, form := range []string{config.FormPyTorch, config.FormKeras} {
			key := name
			if form == config.FormKeras {
				key += " keras"
			}
			if steps := file.Jobs[key]; steps != nil {
				found, recorded = true, recorded+1
				t.Run(key, func(t *testing.T) { checkSteps(t, job, form, steps) })
			}
		}
		if !found {
			t.Errorf("testdata/steps.json has no step of job %s", name)
		}
	}
	if recorded != len(file.Jobs) {
		t.Errorf("%d of %d recorded jobs are there", recorded, len(file.Jobs))
	}
}

func checkSteps(t *testing.T, job *config.Job, form string, steps map[string]recordedStep) {
	withoutDropout(job)
	d := readyData(t, job)
	m, err := BuildModel(job, d.Schema)
	if err != nil {
		t.Fatal(err)
	}
	before, grad, stats := firstValues(m), make([]float32, m.Len()), make([]float32, m.StatsLen())
	result := m.NewReplica(nil).Gradient(before, stats, grad, readyBatch(d), rng.Key{}, nil, nil)
	for kind, want := range steps {
		mean := result.Loss / float64(result.Count)
		if math.Abs(mean-want.Loss) > 1e-5*want.Loss {
			t.Errorf("the loss before the step is %.8g, want %.8g", mean, want.Loss)
		}
		cfg := config.Optimizer{Kind: kind, Form: form, LR: want.Rate, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8}
		if form == config.FormKeras {
			cfg.Epsilon = 1e-7
		}
		group := optim.Group{Interval: plan.Interval{End: m.Len()}, LRFactor: 1}
		switch kind {
		case config.OptimizerSGD:
			cfg.Momentum = 0.9
		case config.OptimizerAdamW:
			group.WeightDecay = 0.01
		}
		o, err := optim.New(cfg, config.Schedule{Kind: config.ScheduleConstant}, m.Len(), []optim.Group{group})
		if err != nil {
			t.Fatal(err)
		}
		after := append([]float32(nil), before...)
		o.Step(nil, 1, after, grad, plan.Interval{End: m.Len()}, float64(result.Count), 1)
		if len(want.Tensors) != len(m.Params()) {
			t.Fatalf("%d parameters, want %d", len(m.Params()), len(want.Tensors))
		}
		byName := map[string]*recordedTensor{}
		for k := range want.Tensors {
			byName[want.Tensors[k].name] = &want.Tensors[k]
		}
		for _, p := range m.Params() {
			r := byName[p.Name]
			if r == nil {
				t.Fatalf("the peer has no parameter %s", p.Name)
			}
			r.check(t, kind, p, after[p.Interval.Begin:p.Interval.End], grad[p.Interval.Begin:p.Interval.End])
		}
	}
}

func (r *recordedTensor) check(t *testing.T, kind string, p model.Tensor, values, grad []float32) {
	t.Helper()
	size := 0.0
	for _, g := range grad {
		size += float64(g) * float64(g)
	}
	size = math.Sqrt(size / float64(len(grad)))
	scale := r.norm / math.Sqrt(float64(len(values)))
	const tolerance = 1e-5
	for i, at := range r.at {
		if kind != config.OptimizerSGD && math.Abs(float64(grad[at])) < 0.3*size {
			continue // Adam divides by the gradient's size, so small ones are known to fewer digits
		}
		if math.Abs(float64(values[at])-r.values[i]) > tolerance*scale {
			t.Errorf("after %s %s[%d] is %.8g, want %.8g (scale %.2g)", kind, p.Name, at, values[at], r.values[i], scale)
		}
	}
	if kind != config.OptimizerSGD {
		return // Adam moves values by the signs of gradients that are nothing but rounding too
	}
	squares, sum := 0.0, 0.0
	weights := make([]float32, len(values))
	drawInto(weights, crc32.ChecksumIEEE([]byte(p.Name))+2, 2, 0)
	for i, v := range values {
		squares += float64(v) * float64(v)
		sum += float64(v) * float64(weights[i])
	}
	norm := math.Sqrt(squares)
	if math.Abs(norm-r.norm) > tolerance*r.norm || math.Abs(sum-r.projection) > tolerance*r.norm {
		t.Errorf("after %s %s has norm %.8g and projection %.8g, want %.8g and %.8g", kind, p.Name, norm, sum, r.norm, r.projection)
	}
}
