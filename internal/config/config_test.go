package config

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every testdata/*.bad.yaml begins with the message that it must give; FILE means its own name.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad files found: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		want, ok := strings.CutPrefix(first, "# error: ")
		if !ok {
			t.Fatalf("%s does not begin with '# error: '", file)
		}
		want = file + ":" + strings.ReplaceAll(want, "FILE", file)
		_, err = Load(file, nil)
		if err == nil {
			t.Errorf("%s was accepted, want %s", file, want)
		} else if err.Error() != want {
			t.Errorf("%s gives\n%s\nwant\n%s", file, err, want)
		} else if !IsProblem(err) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: the error is not a one-line Problems", file)
		}
	}
}

func TestShippedFiles(t *testing.T) {
	files, err := filepath.Glob("../../configs/[^h]*.yaml") // hosts.yaml: TestHostsHaveDefaults
	if err != nil || len(files) == 0 {
		t.Fatalf("no shipped files found: %v", err)
	}
	for _, file := range files {
		switch filepath.Base(file) {
		case "coordinator.yaml":
			_, err = LoadCoordinator(file, nil)
		case "worker.yaml":
			_, err = LoadWorker(file, nil)
		default:
			_, err = Load(file, nil)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// Every key of every type is in configs/README.md.
func TestEveryKeyIsDocumented(t *testing.T) {
	readme, err := os.ReadFile("../../configs/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(prefix string, typ reflect.Type)
	walk = func(prefix string, typ reflect.Type) {
		for i := range typ.NumField() {
			field := typ.Field(i)
			name := field.Tag.Get("yaml")
			if name == "" {
				continue
			}
			if field.Type.Kind() == reflect.Struct {
				walk(join(prefix, name), field.Type)
			} else if row := "| `" + join(prefix, name) + "` |"; !bytes.Contains(readme, []byte(row)) {
				t.Errorf("configs/README.md has no row for key %s of %s", join(prefix, name), typ)
			}
		}
	}
	for _, v := range []any{Job{}, Layer{}, Group{}, Augmentation{}, Coordinator{}, Worker{}, Hosts{}, Host{}} {
		walk("", reflect.TypeOf(v))
	}
}

// The type system does not check tags; this does.
func TestEveryFieldHasItsTags(t *testing.T) {
	var walk func(typ reflect.Type)
	seen := map[reflect.Type]bool{}
	walk = func(typ reflect.Type) {
		if typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		names := fieldNames(typ)
		slices.Sort(names)
		if len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("%s has a key twice: %v", typ, names)
		}
		for i := range typ.NumField() {
			field := typ.Field(i)
			if !field.IsExported() {
				continue
			}
			if field.Tag.Get("yaml") == "" {
				t.Errorf("%s.%s has no key", typ, field.Name)
			}
			if c := field.Tag.Get("contract"); c != "" && c != "free" && c != "end" {
				t.Errorf("%s.%s has an unknown contract tag %q", typ, field.Name, c)
			}
			walk(field.Type)
		}
	}
	for _, v := range []any{Job{}, Coordinator{}, Worker{}} {
		walk(reflect.TypeOf(v))
	}
}

func TestWhatIsLeftOutHasItsDefault(t *testing.T) {
	j, err := Parse("configs/my-job.yaml", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if j.Name != "my-job" || j.Seed != 1 || j.Seats != 4 || j.Batch() != 32 || j.Checkpoint.KeepLast != 3 {
		t.Errorf("unexpected defaults: %s", j.Encode())
	}
	if want := (Optimizer{Kind: "adam", Form: "keras", LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-7}); !reflect.DeepEqual(j.Train.Optimizer, want) {
		t.Errorf("optimizer %+v, want %+v", j.Train.Optimizer, want)
	}
	for _, test := range []struct {
		text string
		want Optimizer
	}{
		{"{form: pytorch}", Optimizer{Kind: "adam", Form: "pytorch", LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8}},
		{"{form: pytorch, epsilon: 1e-3}", Optimizer{Kind: "adam", Form: "pytorch", LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-3}},
		{"{kind: adamw, lr: 3E-4}", Optimizer{Kind: "adamw", Form: "pytorch", LR: 3e-4, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.01}},
		{"{kind: sgd, momentum: .9, nesterov: true}", Optimizer{Kind: "sgd", Form: "pytorch", LR: 0.01, Momentum: 0.9, Nesterov: true}},
	} {
		j, err := Parse("x.yaml", []byte("train: {optimizer: "+test.text+"}"), nil)
		if err != nil {
			t.Error(err)
		} else if !reflect.DeepEqual(j.Train.Optimizer, test.want) {
			t.Errorf("%s gives %+v, want %+v", test.text, j.Train.Optimizer, test.want)
		}
	}
}

func TestSetOverridesTheFileAndIsChecked(t *testing.T) {
	file := []byte("train: {steps: 7, optimizer: {kind: adam}}\ndata: {kind: mnist}\n")
	j, err := Parse("x.yaml", file, []string{"train.steps=200", "data.dir=../a: b", "model.layers=[784, 10]", "name=007", "train.optimizer.lr=1e-2"})
	if err != nil {
		t.Fatal(err)
	}
	if j.Train.Steps != 200 || j.Data.Dir != "../a: b" || !slices.Equal(j.Model.Layers, []int{784, 10}) || j.Name != "007" || j.Train.Optimizer.LR != 0.01 {
		t.Errorf("overrides were not taken: %s", j.Encode())
	}
	for _, test := range []struct{ set, want string }{
		{"train.steps", "--set train.steps: write --set KEY=VALUE, like --set train.steps=200"},
		{"tran.steps=1", "--set tran.steps=1: unknown key tran; did you mean train?"},
		{"train.stepps=1", "--set train.stepps=1: unknown key train.stepps; did you mean steps?"},
		{"seats=0", "--set seats=0: seats must be from 1 to 1024, not 0"},
		{"seats=", `--set seats=: seats must be a whole number (written in decimal, without leading zeros), not ""`},
		{"model.layers=", "--set model.layers=: model.layers needs a value"},
		{"model.layers=[1, a]", "--set model.layers=[1, a]: model.layers[1] must be a whole number (written in decimal, without leading zeros), not a"},
		{"model.layers=#", "--set model.layers=#: model.layers needs a value"},
		{"model.layers=[1", "--set model.layers=[1: is not YAML: sequence end token ']' not found"},
		{"name.x=1", "--set name.x=1: name has no keys of its own"},
	} {
		if _, err := Parse("x.yaml", nil, []string{test.set}); err == nil || err.Error() != test.want {
			t.Errorf("--set %s gives %v, want %s", test.set, err, test.want)
		}
	}
}

// Problems are listed in the order of the file's lines, whoever found them, then in that of the flags.
func TestProblemsAreInOrder(t *testing.T) {
	file := "checkpoint: {keep_last: 0}\nseats: 0\ntrain: {epochs: many, flips: 3}\n"
	_, err := Parse("x.yaml", []byte(file), []string{"seed=-1", "name", "balance=2", "min_workers=0"})
	if err == nil {
		t.Fatal("it was accepted")
	}
	var have []string
	for _, problem := range strings.Split(err.Error(), "; ") {
		if where, _, ok := strings.Cut(problem, ": "); ok {
			have = append(have, where)
		}
	}
	want := []string{"x.yaml:1:25", "x.yaml:2:8", "x.yaml:3:17", "x.yaml:3:23", "--set seed=-1", "--set name", "--set balance=2", "--set min_workers=0"}
	if !slices.Equal(have, want) {
		t.Errorf("%v, want %v: %v", have, want, err)
	}
}

// randomJob sets every key that exists for random kinds to a random valid value.
func randomJob(r *rand.Rand) *Job {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	small := func() int { return 1 + r.IntN(1000) }
	fraction := func() float64 { return float64(1+r.IntN(1<<20)) / (1 << 21) * math.Pow(10, -float64(r.IntN(12))) }
	j := &Job{Name: pick("a", "null", "true", "x-1.y_Z", "0123"), Seed: r.Uint64(), Seats: 1 + r.IntN(MaxSeats)}
	var stack func(depth int) []Layer
	stack = func(depth int) []Layer {
		layers := make([]Layer, 1+r.IntN(4))
		for i := range layers {
			kinds := LayerKinds
			if depth > 2 {
				kinds = kinds[:len(kinds)-1]
			}
			if depth >= 0 { // no node of a graph
				kinds = slices.DeleteFunc(slices.Clone(kinds), func(kind string) bool { return (&Layer{Kind: kind}).Joins() })
			}
			layers[i] = Layer{Kind: pick(kinds...), Kernel: 1 + r.IntN(9), Stride: 1 + r.IntN(9), Dilation: 1 + r.IntN(3), Groups: 1 + r.IntN(3),
				Bias: r.IntN(2) > 0, Epsilon: fraction(), Momentum: fraction(), Rate: fraction()}
			layers[i].Out = layers[i].Groups * small()
			layers[i].Padding = r.IntN(layers[i].Kernel/2 + 1)
			randomKeys(r, &layers[i])
			if layers[i].Kind == "residual" {
				layers[i].Stack = stack(max(depth, 0) + 1)
			}
		}
		return layers
	}
	heads := 1 + r.IntN(8)
	j.Model = Model{Kind: pick(modelKinds...), Layers: []int{small(), small(), small()}, Depth: small(), Heads: heads, Width: heads * small(),
		Bias: r.IntN(2) > 0, Variant: pick("imagenet", "cifar"), Form: pick("torchvision", "keras"), Dropout: fraction(), Stack: stack(0), InitStrict: true, Buckets: 32, Distance: 128, Activation: ActivationGELU, HeadWidth: 2 * small(), KVHeads: heads, RopeTheta: 1 + 1e6*fraction(), Epsilon: math.Max(1e-30, fraction()), Tied: r.IntN(2) > 0}
	if r.IntN(2) > 0 {
		j.Model.Init, j.Model.InitStrict, j.Model.InitSkip = pick("a b", "~/x", "1e5"), r.IntN(2) > 0, []string{pick("fc", "*.bias", "no")}
	}
	j.Model.Inputs, j.Model.Nodes = []string{"input"}, stack(-1)
	for i := range j.Model.Nodes {
		n := &j.Model.Nodes[i]
		n.Name, n.Inputs = pick("a", "layer1.0.conv-")+strconv.Itoa(i), []string{"input"}
		if i > 0 {
			n.Inputs = []string{j.Model.Output}
		}
		if n.Joins() {
			n.Inputs = append(n.Inputs, "input")
		}
		j.Model.Output = n.Name
	}
	j.Data = Data{Kind: pick(DataMNIST, DataGlyphs, DataImages), Dir: pick("data", "a b/ü: #", "\"'\\\n\t", "~", "1e5", "- x"), Context: small(),
		Classes: []string{"cat", "no", "Ä: b"}, TrainPerClass: small(), EvalPerClass: small(), Mean: []float64{fraction(), -fraction(), 0},
		Std: []float64{1, 0.25, 1.0 / 3}, LeftOut: fraction(), Encoding: pick(EncodingUTF8, EncodingLatin1, EncodingBytes)}
	randomAugment(r, &j.Data)
	if j.Model.predictsNext() || j.Model.Kind == ModelBERT {
		j.Data.Kind = DataText
		j.Data.Mask = map[string]float64{ModelBERT: 0.15 + fraction()/2}[j.Model.Kind]
	}
	j.Train = Train{Epochs: small(), Steps: r.IntN(2) * small(), BatchPerSeat: small(), Accumulate: small(), Precision: []string{PrecisionFloat32, PrecisionBFloat16}[r.IntN(2)], BucketKiB: 16 * r.IntN(2) * small(), ClipNorm: fraction(), Loss: LossCrossEntropy, LabelSmoothing: fraction(),
		Optimizer: Optimizer{Kind: pick(OptimizerAdam, OptimizerAdamW, OptimizerSGD), Form: pick(FormKeras, FormPyTorch), LR: fraction(), Beta1: fraction(),
			Beta2: fraction(), Epsilon: fraction(), Momentum: fraction(), Nesterov: r.IntN(2) > 0, WeightDecay: fraction()},
		Schedule: Schedule{Kind: pick(ScheduleConstant, ScheduleStep, ScheduleCosine, ScheduleLinear), Warmup: r.IntN(100), StepSize: small(), Gamma: fraction(),
			MinLR: fraction(), Horizon: 100 + small()}}
	j.Checkpoint = Checkpoint{EverySteps: r.IntN(1000), KeepLast: small()}
	j.MinWorkers, j.MaxWorkers, j.Balance = 1+r.IntN(j.Seats), r.IntN(2)*j.Seats, r.IntN(2) > 0
	if r.IntN(2) > 0 {
		j.Model.Freeze, j.Train.Optimizer.NoDecay = []string{"fc", "layer[12]"}, []string{NormsAndBiases, "*.bias"}
		j.Train.Optimizer.Groups = []Group{{"no", fraction(), fraction()}, {"a.*", 1, 0}}
	}
	b := newBinder("")
	b.checkKinds("", reflect.ValueOf(j).Elem()) // zeroes what does not exist for the kinds
	return j
}

// randomKeys sets the keys of a layer that few kinds have.
func randomKeys(r *rand.Rand, l *Layer) {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	l.OutputPadding, l.Affine, l.Causal, l.Bidirectional = r.IntN(max(l.Stride, l.Dilation)), r.IntN(2) > 0, r.IntN(2) > 0, r.IntN(2) > 0
	l.Heads, l.Layers, l.Scale, l.Codes, l.Mode = 1+r.IntN(8), 2+r.IntN(3), 1+r.IntN(4), 2+r.IntN(99), pick(UpsampleNearest, UpsampleBilinear)
	l.Form, l.Slope, l.Alpha, l.Shape = pick(PositionsLearned, PositionsSinusoidal), r.Float64(), -r.Float64(), []int{-1, 1 + r.IntN(9)}
	if l.Form == PositionsLearned && r.IntN(2) > 0 {
		l.Init, l.Gain, l.Fan = pick(InitKaimingNormal, InitKaimingUniform), 1+r.Float64(), pick(FanIn, FanOut)
	}
}

func TestEncodeDecode(t *testing.T) {
	const seed = 7
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range 1000 {
		j := randomJob(r)
		text := j.Encode()
		got, err := Decode(text)
		if err != nil {
			t.Fatalf("seed %d, case %d: %v\n%s", seed, i, err, text)
		}
		got.origin = nil
		if !reflect.DeepEqual(j, got) {
			t.Fatalf("seed %d, case %d: %s came back as %s", seed, i, text, got.Encode())
		}
		if !bytes.Equal(text, got.Encode()) {
			t.Fatalf("seed %d, case %d: the encoding is not canonical: %s and %s", seed, i, text, got.Encode())
		}
	}
}

func TestErrorfPointsAtTheKey(t *testing.T) {
	j, err := Parse("job.yaml", []byte("model:\n    layers: [700,\n        10]\n"), []string{"train.epochs=3"})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"model.layers[0]":  "job.yaml:2:14: x",
		"model.layers[1]":  "job.yaml:3:9: x",
		"model.layers[2]":  "job.yaml:2:13: x",
		"model.kind":       "job.yaml:2:11: x",
		"train.epochs":     "--set train.epochs=3: x",
		"data.dir":         "job.yaml: x",
		"checkpoint":       "job.yaml: x",
		"train.optimizer":  "job.yaml: x",
		"never.heard.of.i": "job.yaml: x",
	} {
		if got := j.Errorf(key, "x").Error(); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if got := new(Job).Errorf("seed", "x %d", 1).Error(); got != "x 1" {
		t.Errorf("a job without a file says %q", got)
	}
}

// Blame points at the key that an error begins with, if it is one of the section.
func TestAnErrorPointsAtTheKeyThatItIsOf(t *testing.T) {
	j := mustParse(t, "model: {layers: [784, 10]}\ndata: {kind: images, dir: x, train_per_class: 3}")
	digits := mustParse(t, "data: {kind: glyphs}")
	for _, test := range []struct {
		job     *Job
		section string
		err     error
		where   string
	}{
		{j, "model", KeyErrorf("model.layers[0]", "too narrow"), "1:18: model.layers[0]: too narrow"},
		{j, "model", KeyErrorf("model.layers", "too narrow"), "1:17: model.layers: too narrow"},
		{j, "model", errors.New("model.layers: only looks like a key"), "1:8: model.layers: only looks like a key"},
		{j, "data", KeyErrorf("data.train_per_class", "too many"), "2:47: data.train_per_class: too many"},
		{j, "data", fmt.Errorf("images: %w", &KeyError{"data.train_per_class", errors.New("too few")}), "2:47: images: too few"},
		{j, "data", errors.New("images: too few"), "2:27: images: too few"},
		{digits, "data", errors.New("broken"), "1:14: broken"},
	} {
		if got, want := test.job.Blame(test.section, test.err).Error(), "job.yaml:"+test.where; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func mustParse(t *testing.T, text string, sets ...string) *Job {
	t.Helper()
	j, err := Parse("job.yaml", []byte(text), sets)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestDifferences(t *testing.T) {
	const samples = 1000
	base := "name: a\ndata: {kind: mnist, dir: x}\ntrain: {epochs: 3, schedule: {kind: cosine}}\n"
	for _, test := range []struct {
		sets []string
		want []Difference
	}{
		{nil, nil},
		{[]string{"data.dir=y", "checkpoint.every_steps=1", "checkpoint.keep_last=9", "name=b"}, nil},
		{[]string{"train.epochs=9"}, nil},
		{[]string{"train.steps=97"}, nil},
		{[]string{"train.epochs=2"}, []Difference{{"train.epochs", "3", "2"}}},
		{[]string{"train.steps=50"}, []Difference{{"train.steps", "96 (train.epochs: 3)", "50"}}},
		{[]string{"seed=2", "seats=8"}, []Difference{{"seed", "1", "2"}, {"seats", "4", "8"}}},
		{[]string{"train.batch_per_seat=9"}, []Difference{{"train.batch_per_seat", "8", "9"}}},
		{[]string{"model.layers=[784, 10]"}, []Difference{{"model.layers", "[784, 128, 128, 10]", "[784, 10]"}}},
		{[]string{"train.target=pixels"}, []Difference{{"train.target", "", "pixels"}}},
		{[]string{"train.label_smoothing=0.1"}, []Difference{{"train.label_smoothing", "0", "0.1"}}},
		{[]string{"train.schedule.horizon=97"}, []Difference{{"train.schedule.horizon", "96", "97"}}},
		{[]string{"train.optimizer.kind=adamw", "train.optimizer.form=keras", "train.optimizer.weight_decay=0"},
			[]Difference{{"train.optimizer.kind", "adam", "adamw"}}},
		{[]string{"train.schedule.kind=constant"},
			[]Difference{{"train.schedule.kind", "cosine", "constant"}, {"train.schedule.min_lr", "0", ""}}},
	} {
		old := mustParse(t, base)
		old.Resolve(samples)
		next := mustParse(t, base, test.sets...)
		next.Inherit(old)
		next.Resolve(samples)
		if got := differences(old, next, samples); !slices.Equal(got, test.want) {
			t.Errorf("%v: %v, want %v", test.sets, got, test.want)
		}
	}
}

func TestHorizonStaysAsSubmitted(t *testing.T) {
	old := mustParse(t, "train: {epochs: 2}")
	old.Resolve(100)
	if old.Train.Schedule.Horizon != 8 {
		t.Fatalf("horizon %d, want 8: two epochs of four steps", old.Train.Schedule.Horizon)
	}
	later := mustParse(t, "train: {epochs: 20}")
	later.Inherit(old)
	later.Resolve(100)
	if later.Train.Schedule.Horizon != 8 || later.TotalSteps(100) != 80 {
		t.Errorf("horizon %d and end %d, want 8 and 80", later.Train.Schedule.Horizon, later.TotalSteps(100))
	}
}

// Every key is either part of the contract or named here: a new one must be decided about.
func TestContractCoversTheRest(t *testing.T) {
	free := []string{"name", "data.dir", "data.memory_mib", "train.epochs", "train.steps", "checkpoint.every_steps", "checkpoint.keep_last", "min_workers", "max_workers", "balance"}
	j := mustParse(t, "data: {kind: mnist, dir: x}")
	inContract := map[string]bool{}
	for _, item := range j.Contract() {
		inContract[item.Key] = true
	}
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			name := v.Type().Field(i).Tag.Get("yaml")
			if name == "" || !exists(v, i) || v.Type().Field(i).Tag.Get("omit") != "" {
				continue
			}
			key := join(prefix, name)
			if v.Field(i).Kind() == reflect.Struct {
				walk(key, v.Field(i))
			} else if inContract[key] == slices.Contains(free, key) {
				t.Errorf("key %s: in the contract %v, free %v", key, inContract[key], slices.Contains(free, key))
			}
		}
	}
	walk("", reflect.ValueOf(j).Elem())
	if j.Contract()[0] != (Item{"contract", strconv.Itoa(ContractVersion)}) {
		t.Errorf("the contract begins with %v", j.Contract()[0])
	}
}

// Whatever the bytes, the answer is a valid job or a one-line message at a bounded cost, and a valid job encodes and decodes.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.bad.yaml")
	shipped, _ := filepath.Glob("../../configs/*.yaml")
	for _, file := range append(files, shipped...) {
		if text, err := os.ReadFile(file); err == nil {
			f.Add(text)
		}
	}
	f.Add(mustEncode())
	f.Fuzz(func(t *testing.T, text []byte) {
		j, err := parseCost(t, text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("the message has several lines: %q", err)
			}
			return
		}
		again, err := Decode(j.Encode())
		if err != nil || !bytes.Equal(again.Encode(), j.Encode()) {
			t.Errorf("%s came back as %v, %v", j.Encode(), again, err)
		}
	})
}

func mustEncode() []byte {
	j, err := Parse("x.yaml", []byte("model: {kind: sequential, stack: [{kind: conv, out: 3, kernel: 3}, {kind: residual, stack: [{kind: relu}]}]}"), nil)
	if err != nil {
		panic(err)
	}
	return j.Encode()
}

// YAML allows a byte order mark, which editors of some systems write.
func TestByteOrderMark(t *testing.T) {
	j, err := Parse("job.yaml", []byte("\ufeffseed: 7\n"), nil)
	if err != nil || j.Seed != 7 {
		t.Errorf("%v", err)
	}
}

// A shell hands a job on through a pipe that it has opened: launch <(...).
func TestJobFromShell(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("paths of open files are Linux's")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("seed: 7\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	j, err := Load(fmt.Sprintf("/dev/fd/%d", r.Fd()), nil)
	if err != nil || j.Seed != 7 {
		t.Errorf("%v", err)
	}
}
