package e2e

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/launch"
)

// family is a shipped job of one family of models, made short, on data of the test's own.
type family struct {
	file string
	data string // file or folder
	args []string
}

func (f *family) job(workers int) job {
	return job{file: f.file, workers: workers, args: append([]string{"--set", "data.dir=" + f.data}, f.args...)}
}

// text is the GPT job on a little text.
func text(t *testing.T) *family {
	t.Helper()
	file := filepath.Join(t.TempDir(), "text.txt")
	if err := os.WriteFile(file, []byte(strings.Repeat("To be, or not to be: that is the question. ", 60)), 0o644); err != nil {
		t.Fatal(err)
	}
	return &family{config(t, "gpt-shakespeare.yaml"), file, []string{"--set", "train.steps=9", "--set", "train.schedule.warmup=3", "--set", "checkpoint.every_steps=5",
		"--set", "train.label_smoothing=0.1", "--set", "train.metrics=[perplexity, top3]"}}
}

// photos is the MobileNetV2 job on a few small pictures: reddish and bluish ones.
func photos(t *testing.T) *family {
	t.Helper()
	dir := t.TempDir()
	for part, count := range map[string]int{"train": 9, "test": 3} {
		for class, name := range []string{"blue", "red"} {
			if err := os.MkdirAll(filepath.Join(dir, part, name), 0o755); err != nil {
				t.Fatal(err)
			}
			for i := range count {
				paint(t, filepath.Join(dir, part, name, fmt.Sprintf("%d.png", i)), 16, class, i)
			}
		}
	}
	return &family{config(t, "mobilenetv2-cifar10.yaml"), dir, []string{"--set", "data.train_per_class=9", "--set", "data.eval_per_class=3",
		"--set", "train.batch_per_seat=2", "--set", "train.epochs=1"}}
}

func paint(t *testing.T, path string, side, class, variant int) {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			strong, weak := uint8(160+(x*y+7*variant)%90), uint8((x+3*y+11*variant)%80)
			m.SetRGBA(x, y, []color.RGBA{{weak, weak, strong, 255}, {strong, weak, weak, 255}}[class])
		}
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, m); err != nil {
		t.Fatal(err)
	}
}

// ask runs ringmaster with --json and decodes what it writes.
func ask[T any](t *testing.T, args ...string) T {
	t.Helper()
	code, out, stderr := run(t, t.TempDir(), append(args, "--json")...)
	if code != 0 || stderr != "" {
		t.Fatalf("%v: exit code %d: %s", args, code, stderr)
	}
	var answer T
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatalf("%v: %s: %v", args, out, err)
	}
	return answer
}

// scored is what eval answers.
type scored struct {
	Step           uint64
	Digest         string
	Loss, Accuracy float64
	Perplexity     float64
	Top3           float64
	SameData       bool `json:"same_data"`
}

// agree reports whether the metrics are those of a run, which may have none.
func (s *scored) agree(e *launch.EvalSummary) bool {
	for _, f := range e.Metrics {
		if f.Value != map[string]float64{"perplexity": s.Perplexity, "top3": s.Top3}[f.Name] {
			return false
		}
	}
	return len(e.Metrics) > 0 || s.Perplexity == 0
}

// everywhere trains on 1, 2 and 3 workers, expects one digest, and of each run the evaluation that it came to itself, in
// every bit. It returns the folder of the last run.
func (f *family) everywhere(t *testing.T) string {
	t.Helper()
	var first *launch.Summary
	dir := ""
	for workers := 1; workers <= 3; workers++ {
		l := f.job(workers).start(t)
		s := l.end(0)
		dir = l.dir
		if first == nil {
			first = s
		}
		if s.Eval == nil || s.Digest != first.Digest || s.StateDigest != first.StateDigest || !s.Eval.Same(first.Eval) {
			t.Fatalf("%d workers came to %s, %+v; one to %s, %+v", workers, s.Digest, s.Eval, first.Digest, first.Eval)
		}
		got := ask[scored](t, "eval", dir, "--threads", fmt.Sprint(workers), "--set", "data.dir="+f.data)
		if got.Loss != float64(s.Eval.Loss) || got.Accuracy != float64(s.Eval.Accuracy) || got.Digest != s.Digest || got.Step != s.Step || !got.SameData || !got.agree(s.Eval) {
			t.Errorf("%d workers: evaluated again %+v, the run %+v (%s)", workers, got, s.Eval, s.Digest)
		}
	}
	return dir
}

// writesTexts lets a run and its exported file continue prompts: together and alone, on one thread and two. The likeliest tokens are those of predict.
func writesTexts(t *testing.T, dir, file string) {
	t.Helper()
	prompts := filepath.Join(t.TempDir(), "prompts.jsonl")
	if err := os.WriteFile(prompts, []byte("{\"prompt\": \"to be\"}\n{\"prompt\": \"that is the question\"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, together, stderr := run(t, t.TempDir(), "generate", dir, "--prompts", prompts, "--max-tokens", "70", "--threads", "2", "--json")
	lines := strings.SplitAfter(together, "\n")
	if code != 0 || len(lines) != 3 {
		t.Fatalf("exit code %d, %s: %s", code, together, stderr)
	}
	if code, alone, stderr := run(t, t.TempDir(), "generate", file, "--prompt", "to be", "--max-tokens", "70", "--threads", "1", "--json"); code != 0 || alone != lines[0] {
		t.Errorf("alone %q, with others %q: %s", alone, lines[0], stderr)
	}
	type text struct{ Text string }
	want := ask[text](t, "predict", dir, "--prompt", "to be", "--tokens", "70", "--temperature", "0")
	if got := ask[text](t, "generate", dir, "--prompt", "to be", "--max-tokens", "70", "--stop", "zzz"); len(got.Text) != 70 || got != want {
		t.Errorf("generate writes %q, predict %q", got.Text, want.Text)
	}
	code, out, stderr := run(t, t.TempDir(), "generate", dir, "--prompt", "to be", "--prompt", "ßo")
	if code != 2 || out != "" {
		t.Errorf("exit code %d, %s", code, out)
	}
	oneLine(t, stderr, "--prompt 2: character 'ß' at byte 0 does not occur")
	code, _, stderr = run(t, t.TempDir(), "generate", dir, "--prompt", strings.Repeat("to be ", 20))
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
	oneLine(t, stderr, "--prompt: the text has 120 tokens, where the model reads 1 to 64", "--crop")
}

// A GPT gives one digest on any number of workers; its checkpoint continues a text where the data is not.
func TestLanguageModel(t *testing.T) {
	f := text(t)
	dir := f.everywhere(t)
	if got := ask[scored](t, "eval", dir, "--step", "5", "--set", "data.dir="+f.data); got.Step != 5 {
		t.Errorf("--step 5 evaluates %+v", got)
	}
	file := filepath.Join(t.TempDir(), "model.safetensors")
	if code, _, stderr := run(t, t.TempDir(), "checkpoints", "export", dir, "--out", file); code != 0 {
		t.Fatalf("export: %s", stderr)
	}
	want := ask[scored](t, "eval", dir, "--set", "data.dir="+f.data)
	if got := ask[scored](t, "eval", file, "--job", f.file, "--set", "data.dir="+f.data); got.Loss != want.Loss || got.Digest != want.Digest {
		t.Errorf("the exported file evaluates to %+v, the checkpoint to %+v", got, want)
	}
	broken := filepath.Join(t.TempDir(), "nan.safetensors")
	copyChanged(t, file, broken, func(b []byte) []byte { return append(b[:len(b)-4], 0, 0, 0xc0, 0x7f) })
	code, out, stderr := run(t, t.TempDir(), "eval", broken, "--job", f.file, "--set", "data.dir="+f.data, "--json")
	if code != 1 || !strings.Contains(out, `"loss": null`) || !strings.Contains(out, `"accuracy": null`) {
		t.Errorf("a NaN among the weights: exit code %d, %s", code, out)
	}
	oneLine(t, stderr, "the test loss is NaN: tensor transformer.", "holds NaN")
	if err := os.Remove(f.data); err != nil {
		t.Fatal(err)
	}
	type continued struct{ Text, Digest string }
	say := func(args ...string) continued {
		return ask[continued](t, append([]string{"predict", dir, "--prompt", "to be", "--tokens", "100", "--temperature", "2"}, args...)...)
	}
	one, again, other := say("--seed", "7"), say("--seed", "7", "--threads", "2"), say("--seed", "8")
	if one != again || one.Text == other.Text || len(one.Text) != 100 || one.Digest != want.Digest || strings.Trim(one.Text, "To be,rnt:haisqu.") != "" {
		t.Errorf("seed 7 continues by %q, again by %q; seed 8 by %q", one.Text, again.Text, other.Text)
	}
	for _, from := range []string{dir, file} { // an exported file holds its job
		code, out, stderr = run(t, t.TempDir(), "predict", from, "--prompt", "to be", "--tokens", "100", "--temperature", "2", "--seed", "7")
		if code != 0 || out != "to be"+one.Text+"\n" {
			t.Errorf("%s: exit code %d, %q, want %q: %s", from, code, out, "to be"+one.Text+"\n", stderr)
		}
	}
	writesTexts(t, dir, file)
	code, _, stderr = run(t, t.TempDir(), "eval", dir, "--set", "data.dir="+f.data)
	if code != 2 {
		t.Errorf("eval without the data: exit code %d", code)
	}
	oneLine(t, stderr, "--set data.dir="+f.data, "does not exist", "set data.dir to")
	f.refuse(t, dir, file)
}

// refuse tries what the run in dir and its exported file cannot answer.
func (f *family) refuse(t *testing.T, dir, file string) {
	t.Helper()
	cut := filepath.Join(t.TempDir(), "cut.safetensors")
	copyChanged(t, file, cut, func(b []byte) []byte { return b[:len(b)-1] })
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"predict", dir, "--prompt", "über"}, []string{`character 'ü' at byte 0 does not occur`}},
		{[]string{"predict", dir, "--prompt", ""}, []string{"--prompt is empty"}},
		{[]string{"predict", dir, "--photo", config(t, "README.md")}, []string{"continues texts", "ringmaster generate --prompt"}},
		{[]string{"predict", dir, "--prompt", "to", "--set", "seed=2"}, []string{"--set seed=2", "data"}},
		{[]string{"predict", dir, "--prompt", "to", "--job", f.file}, []string{"--job goes with a .safetensors file"}},
		{[]string{"predict", dir, "--prompt", "to", "--step", "6"}, []string{"no checkpoint at step 6", "; there is one at step 5, 9"}},
		{[]string{"predict", dir, "--prompt", "to", "--set", "data.context=20"}, []string{"--set data.context=20: data.context is 20, but was 64", "only data.dir may be set"}},
		{[]string{"eval", dir, "--set", "data.context=20", "--set", "data.dir=" + f.data}, []string{"--set data.context=20: data.context is 20, but was 64", "only data.dir may be set"}},
		{[]string{"eval", dir, "--set", "data.kind=images", "--set", "data.dir=" + f.data}, []string{"--set data.kind=images", "data.kind: text"}},
		{[]string{"eval", cut, "--job", config(t, "quickstart.yaml")}, []string{cut, "cut short", "ringmaster export"}},
		{[]string{"eval", file, "--job", config(t, "quickstart.yaml")}, []string{file, "for the model of " + config(t, "quickstart.yaml") + ": tensor", "the model's"}},
		{[]string{"predict", f.file, "--prompt", "to", "--job", config(t, "quickstart.yaml")}, []string{"names what pictures show"}},
		{[]string{"eval", f.file, "--job", config(t, "quickstart.yaml")}, []string{f.file, "header"}},
	} {
		code, out, stderr := run(t, t.TempDir(), test.args...)
		if code != 2 || out != "" {
			t.Errorf("%v: exit code %d, stdout %q", test.args, code, out)
		}
		oneLine(t, stderr, test.want...)
	}
}

// copyChanged writes a file that is another one changed.
func copyChanged(t *testing.T, from, to string, change func([]byte) []byte) {
	t.Helper()
	whole, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, change(whole), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A warm-up that does not end before the job is refused before anything starts.
func TestWarmupBeyondTheEnd(t *testing.T) {
	f := text(t)
	dir := filepath.Join(t.TempDir(), "run")
	code, _, stderr := run(t, t.TempDir(), "launch", f.file, "--dir", dir, "--set", "data.dir="+f.data, "--set", "train.steps=9")
	if code != 2 {
		t.Errorf("exit code %d", code)
	}
	oneLine(t, stderr, "gpt-shakespeare.yaml:", "train.schedule.warmup 100 must end before the job does, at step 9")
	if _, err := os.Stat(dir); err == nil {
		t.Error("the run's folder was made")
	}
}

// MobileNetV2 gives one digest on any number of workers; its checkpoint names what a photo shows where the data is not.
func TestImageModel(t *testing.T) {
	f := photos(t)
	dir := f.everywhere(t)
	photo := filepath.Join(t.TempDir(), "photo.png")
	paint(t, photo, 50, 1, 5)
	type named struct {
		Classes []struct {
			Class       string
			Label       int
			Probability float64
		}
	}
	with := ask[named](t, "predict", dir, "--photo", photo, "--set", "data.dir="+f.data)
	if err := os.RemoveAll(f.data); err != nil {
		t.Fatal(err)
	}
	got := ask[named](t, "predict", dir, "--photo", photo, "--threads", "2")
	if !slices.Equal(got.Classes, with.Classes) || len(got.Classes) != 2 || got.Classes[0].Probability < got.Classes[1].Probability {
		t.Fatalf("the photo is named %+v, with the data %+v", got, with)
	}
	for _, c := range got.Classes {
		if c.Class != []string{"blue", "red"}[c.Label] {
			t.Errorf("class %d is called %s", c.Label, c.Class)
		}
	}
	if sum := got.Classes[0].Probability + got.Classes[1].Probability; sum < 0.999 || sum > 1.001 {
		t.Errorf("probabilities %+v", got)
	}
	twoPhotos(t, dir, photo)
	code, out, _ := run(t, t.TempDir(), "predict", dir, "--photo", photo, "--top", "1")
	if code != 0 || strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, got.Classes[0].Class+"\n") {
		t.Errorf("exit code %d, %q", code, out)
	}
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"predict", dir, "--prompt", "to"}, []string{"names what pictures show", "--photo"}},
		{[]string{"predict", dir}, []string{"either --photo FILE or --prompt TEXT"}},
		{[]string{"predict", dir, "--photo", photo, "--prompt", "to"}, []string{"either --photo FILE or --prompt TEXT"}},
		{[]string{"predict", dir, "--photo", photo, "--seed", "3"}, []string{"--seed goes with --prompt"}},
		{[]string{"predict", dir, "--prompt", "to", "--temperature", "NaN"}, []string{"--temperature"}},
		{[]string{"predict", dir, "--photo", "none.png"}, []string{"none.png"}},
		{[]string{"predict", dir, "--photo", f.file}, []string{"mobilenetv2-cifar10.yaml"}},
		{[]string{"predict", t.TempDir(), "--photo", photo}, []string{"no whole checkpoint in"}},
		{[]string{"predict", "nowhere", "--photo", photo}, []string{"nowhere"}},
		{[]string{"predict", dir, "--photo", photo, "--set", "data.classes=[red, blue]"}, []string{"--set data.classes=[red, blue]", "only data.dir, data.mean, data.std may be set"}},
		{[]string{"eval", dir, "--set", "data.crop=1"}, []string{"--set data.crop=1", "only data.dir, data.train_per_class, data.eval_per_class, data.mean, data.std may be set"}},
		{[]string{"eval", dir, "--set", "data.train_per_class=100", "--set", "data.dir=" + photos(t).data}, []string{"--set data.train_per_class=100: data.train_per_class", "lower it"}},
		{[]string{"eval", "none.safetensors", "--job", f.file}, []string{"none.safetensors: no such file"}},
		{[]string{"eval", dir}, []string{f.data, "do not exist", "by --set data.dir=PATH"}},
	} {
		code, out, stderr := run(t, t.TempDir(), test.args...)
		if code != 2 || out != "" {
			t.Errorf("%v: exit code %d, stdout %q", test.args, code, out)
		}
		oneLine(t, stderr, test.want...)
	}
}

// twoPhotos asks a model about a photo and a second one.
func twoPhotos(t *testing.T, dir, photo string) {
	t.Helper()
	type album struct {
		Photos []struct {
			Photo   string
			Classes []any
		}
	}
	second := filepath.Join(t.TempDir(), "second.png")
	paint(t, second, 50, 0, 5)
	both := ask[album](t, "predict", dir, "--photo", photo, "--photo", second)
	if len(both.Photos) != 2 || both.Photos[0].Photo != photo || both.Photos[1].Photo != second || len(both.Photos[0].Classes) != 2 || len(both.Photos[1].Classes) != 2 {
		t.Errorf("two photos are named %+v", both)
	}
	code, out, _ := run(t, t.TempDir(), "predict", dir, "--photo", photo, "--photo", second, "--top", "1")
	if code != 0 || strings.Count(out, "\n") != 4 || !strings.HasPrefix(out, photo+":\n") || !strings.Contains(out, "\n"+second+":\n") {
		t.Errorf("two photos: exit code %d, %q", code, out)
	}
}
