package hf

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/model"
)

// exported is a small GPT on characters, as it is exported.
func exported(t testing.TB) *Export { return exportedAs(t, "kind: gpt, depth: 1, heads: 2, width: 8") }

// exportedAs is a small model on characters.
func exportedAs(t testing.TB, described string) *Export {
	t.Helper()
	job := parseJob(t, described)
	data, err := dataset.Recall(job.Data, []byte(`{"classes":3,"context":64,"characters":"abc"}`))
	if err != nil {
		t.Fatal(err)
	}
	l, err := loss.New(config.Train{Loss: config.LossCrossEntropy}, data.Schema)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Build(job.Model, data.Schema, l)
	if err != nil {
		t.Fatal(err)
	}
	var tensors []checkpoint.Tensor
	for _, p := range m.Params() {
		tensors = append(tensors, checkpoint.Tensor{Name: p.Name, Shape: p.Shape, Interval: p.Interval})
	}
	layout, err := checkpoint.NewLayout(1, tensors, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := &Export{Job: job, Model: m, Data: data, Layout: layout, State: layout.NewState(), ShardBytes: DefaultShardBytes}
	if err := m.Init(context.Background(), x.State.Params, nil, 1); err != nil {
		t.Fatal(err)
	}
	return x
}

func contents(t *testing.T, files disk.FS, dir string) map[string]string {
	t.Helper()
	found, err := files.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range found {
		f, err := files.Open(dir + "/" + e.Name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name] = string(text)
	}
	return all
}

func TestWrite(t *testing.T) {
	files := disk.NewMemFS()
	x := exported(t)
	if err := Write(files, "/out", x); err != nil {
		t.Fatal(err)
	}
	whole := contents(t, files, "/out")
	for _, name := range []string{"model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "README.md"} {
		if whole[name] == "" {
			t.Errorf("no %s", name)
		}
	}
	c, err := parseConfig("config.json", []byte(whole["config.json"]))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.compare(&gpt2, factsOf(x.Job, x.Model), false); err != nil || c.modelType() != "gpt2" {
		t.Errorf("what is written is another model: %v", err)
	}
	x.ShardBytes = 600
	if err := Write(files, "/shards", x); err != nil {
		t.Fatal(err)
	}
	shards := contents(t, files, "/shards")
	var index struct {
		Metadata struct {
			Size int64 `json:"total_size"`
		}
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal([]byte(shards["model.safetensors.index.json"]), &index); err != nil {
		t.Fatal(err)
	}
	if index.Metadata.Size != 4*int64(x.Model.Len()) || len(index.Map) != len(x.Model.Params()) {
		t.Errorf("index %+v", index)
	}
	for name, file := range index.Map {
		if !strings.Contains(shards[file], `"`+name+`"`) {
			t.Errorf("%s is not in %s", name, file)
		}
	}
	for _, dir := range []string{"/out", "/out/config.json"} {
		if err := Write(files, dir, x); err == nil || !strings.Contains(err.Error(), "name a new folder") {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if now := contents(t, files, "/out"); now["config.json"] != whole["config.json"] {
		t.Error("a refused export changed what was there")
	}
}

// TestWriteLLaMA reads back what is written of a model without a table of positions, and finds the entries where old and new versions of
// transformers look for them.
func TestWriteLLaMA(t *testing.T) {
	files := disk.NewMemFS()
	x := exportedAs(t, "kind: llama, depth: 1, heads: 4, kv_heads: 2, width: 16, hidden: 20, rope_theta: 500, epsilon: 1e-5, tied: false")
	if err := Write(files, "/out", x); err != nil {
		t.Fatal(err)
	}
	text := contents(t, files, "/out")["config.json"]
	c, err := parseConfig("config.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.compare(&llama, factsOf(x.Job, x.Model), false); err != nil {
		t.Errorf("what is written is another model: %v", err)
	}
	for _, want := range []string{`"rope_theta": 500,`, `"max_position_embeddings": 64`, `"num_key_value_heads": 2`, `"head_dim": 4`, `"rms_norm_eps": 0.00001`, `"tie_word_embeddings": false`, `"rope_type": "default"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(text, "partial_rotary_factor") {
		t.Error("partial_rotary_factor is written")
	}
}

// A crash at any operation leaves nothing at the place, an empty folder that was there, or the whole; and the export can be made again.
func TestWriteSurvivesCrashes(t *testing.T) {
	for _, empty := range []bool{false, true} {
		x := exported(t)
		n := 1
		for ; ; n++ {
			files := disk.NewMemFS()
			if empty {
				if err := errors.Join(files.Mkdir("/out"), files.SyncDir("/")); err != nil {
					t.Fatal(err)
				}
			}
			files.FailAt(n, errors.New("no more"))
			err := Write(files, "/out", x)
			for pick := range 2 {
				after := files.Crash(func(n int) int { return pick * (n - 1) })
				if _, missing := after.Stat("/out"); missing == nil {
					if now := contents(t, after, "/out"); len(now) != 0 && len(now) != 7 || len(now) == 7 && now["config.json"] == "" {
						t.Fatalf("failing at %d leaves %d files", n, len(now))
					}
				}
			}
			if err == nil {
				break
			}
			files.FailAt(0, nil)
			if err := Write(files, "/out", x); err != nil && !strings.Contains(err.Error(), "name a new folder") {
				t.Fatalf("again after failing at %d: %v", n, err)
			}
			if now := contents(t, files, "/out"); len(now) != 7 {
				t.Fatalf("again after failing at %d: %d files", n, len(now))
			}
		}
		if n < 20 {
			t.Errorf("%d operations are few", n)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, test := range []struct{ model, want string }{
		{"kind: gpt", ""}, {"kind: llama", ""}, {"kind: mobilenetv2", ""},
		{"kind: mobilenetv2, form: keras", "of Keras' form is no model of torchvision's"},
		{"kind: mlp", "a model of kind mlp is none of Hugging Face's: the format hf is for bert, gpt, llama, t5, mobilenetv2; take safetensors or onnx"},
		{`kind: gpt, lora: {rank: 2, targets: ["*.c_attn"]}`, "has adapters (model.lora), which the format hf does not hold: add --merge"},
	} {
		text := "model: {" + test.model + "}\n"
		if strings.Contains(test.model, "gpt") || strings.Contains(test.model, "llama") {
			text += "data: {kind: text, dir: .}\n"
		}
		job, err := config.Parse("job.yaml", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := (&Export{Job: job}).Check(); test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %s", test.model, err, test.want)
		}
	}
}

func TestCaveat(t *testing.T) {
	for _, c := range []struct {
		tokens, kind string
		warns        bool
	}{
		{"SentencePiece Unigram", config.ModelLLaMA, true}, {"SentencePiece Unigram", config.ModelGPT, true}, {"SentencePiece Unigram", config.ModelT5, false},
		{"SentencePiece BPE", config.ModelLLaMA, false}, {"Unigram", config.ModelGPT, false},
	} {
		if got := caveat(c.tokens, c.kind); (got != "") != c.warns {
			t.Errorf("%s beside a %s: %q", c.tokens, c.kind, got)
		}
	}
	if got := exported(t).Caveat(); got != "" {
		t.Errorf("of characters: %q", got)
	}
}
