package hf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/config"
)

// parseJob is a job with this model section.
func parseJob(t testing.TB, model string) *config.Job {
	t.Helper()
	data := map[bool]string{true: "kind: text, dir: ., mask: 0.15", false: "kind: text, dir: ."}[strings.Contains(model, "bert")]
	if strings.Contains(model, "t5") {
		data = "kind: pairs, train: a, source: de, target: en"
	}
	if strings.Contains(model, "mobilenetv2") {
		data = "kind: images, dir: ."
	}
	job, err := config.Parse("job.yaml", []byte("model: {"+model+"}\ndata: {"+data+"}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

// folderWith is a folder with this config.json.
func folderWith(t testing.TB, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, configName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A job takes over what its file leaves open, and keeps what it says. What transformers leaves out has transformers' value.
func TestSettle(t *testing.T) {
	for _, test := range []struct{ config, model, want string }{
		{`{"model_type": "gpt2", "n_layer": 3, "n_head": 2, "n_embd": 32, "n_positions": 40, "vocab_size": 77}`, "kind: gpt, init: DIR",
			"depth: 3 heads: 2 width: 32 bias: true activation: gelu_new positions: 40 hidden: 128"},
		{`{"model_type": "gpt2"}`, "kind: gpt, init: DIR, positions: 64", "depth: 12 heads: 12 width: 768 bias: true activation: gelu_new positions: 64 hidden: 3072"},
		{`{"model_type": "gpt2", "n_embd": 32, "n_head": 2, "n_inner": 50, "activation_function": "gelu", "bias": false}`, "kind: gpt, init: DIR, depth: 5",
			"depth: 5 heads: 2 width: 32 bias: false positions: 1024 hidden: 50"},
		{`{"model_type": "bert", "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}`, "kind: bert, init: DIR",
			"depth: 2 heads: 2 width: 128 positions: 512 hidden: 512"},
		{`{"model_type": "t5", "tie_word_embeddings": false}`, "kind: t5, init: DIR", "depth: 6 heads: 8 width: 512 hidden: 2048 head_width: 64 tied: false buckets: 32 distance: 128"},
		{`{"model_type": "t5", "d_model": 64, "scale_decoder_outputs": true, "tie_word_embeddings": false}`, "kind: t5, init: DIR", "depth: 6 heads: 8 width: 64 hidden: 2048 head_width: 64 buckets: 32 distance: 128"},
		{`{"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 100, "rope_scaling": null, "rope_theta": 500}`, "kind: llama, init: DIR",
			"depth: 2 heads: 4 width: 64 positions: 2048 hidden: 100 head_width: 16 tied: false kv_heads: 4 rope_theta: 500 epsilon: 1e-06"},
		{`{"model_type": "llama", "rms_norm_eps": 1e-5, "num_key_value_heads": 8, "head_dim": 64, "tie_word_embeddings": true, "rope_parameters": {"rope_theta": 7000, "rope_type": "default"}, "rope_theta": 5}`,
			"kind: llama, init: DIR", "depth: 32 heads: 32 width: 4096 hidden: 11008 head_width: 64 kv_heads: 8 rope_theta: 7000 epsilon: 1e-05"},
		{`{"model_type": "llama"}`, "kind: mobilenetv2, init: DIR", "variant: imagenet"},
	} {
		job := parseJob(t, strings.ReplaceAll(test.model, "DIR", folderWith(t, test.config)))
		if err := Settle(job); err != nil {
			t.Errorf("%s: %v", test.config, err)
			continue
		}
		encoded := string(job.Encode())
		for _, want := range strings.Split(strings.ReplaceAll(test.want, ": ", ":\t"), " ") {
			if want = strings.ReplaceAll(want, ":\t", ": "); !strings.Contains(encoded, " "+want+"\n") {
				t.Errorf("%s: no %s in\n%s", test.config, want, encoded)
			}
		}
		again, err := config.Decode(job.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if err := Settle(again); err != nil || string(again.Encode()) != encoded {
			t.Errorf("%s: settled twice: %v", test.config, err)
		}
	}
	for _, elsewhere := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		job := parseJob(t, "kind: gpt, init: "+elsewhere)
		before := string(job.Encode())
		if err := Settle(job); err != nil || string(job.Encode()) != before {
			t.Errorf("%s: %v", elsewhere, err)
		}
	}
}

func TestSettleRefuses(t *testing.T) {
	for _, test := range []struct{ config, want string }{
		{`{"model_type": "llama"}`, `is of a model of type "llama", and model.kind: gpt reads "gpt2"`},
		{`{"n_layer": 3}`, `names no model_type, where "gpt2" belongs for model.kind: gpt`},
		{`{"model_type": "gpt2", "n_layer": 5000}`, "model.depth must be from 1 to 1024, not 5000"},
		{`{"model_type": "gpt2", "n_embd": 100}`, "cannot be divided among model.heads 12"},
		{`{"model_type": "gpt2", "activation_function": "relu"}`, `config.json: decode the job's configuration: model.activation: relu is not known`},
		{`null`, "it is null, where an object belongs"},
		{`[1]`, "it has a JSON array at byte"},
		{`{"model_type": `, "it ends too early"},
		{`{"model_type" "gpt2"}`, "it is no JSON at byte 15"},
		{strings.Repeat(" ", maxConfig+1), "has more than the 1048576 bytes of a configuration"},
	} {
		job := parseJob(t, "kind: gpt, init: "+folderWith(t, test.config))
		before := string(job.Encode())
		err := Settle(job)
		if err == nil || !strings.HasPrefix(err.Error(), "model.init: ") || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60s: %v, want %s", test.config, err, test.want)
		}
		if string(job.Encode()) != before {
			t.Errorf("%.60s: the job changed", test.config)
		}
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, configName), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Settle(parseJob(t, "kind: gpt, init: "+dir)); err == nil || !strings.Contains(err.Error(), "config.json: it is a folder, no regular file") {
		t.Errorf("a folder: %v", err)
	}
}

// All differences are named in one line, each with the entry, both values and the key.
func TestCompare(t *testing.T) {
	gpt := facts{Model: config.Model{Kind: config.ModelGPT, Depth: 12, Heads: 12, Width: 768, Activation: "gelu_new", Bias: true}, tokens: 50257, positions: 1024}
	bertClasses := facts{Model: config.Model{Kind: config.ModelBERT, Depth: 12, Heads: 12, Width: 768, Activation: "gelu"}, tokens: 30522, positions: 512, classes: 2}
	small := facts{Model: config.Model{Kind: config.ModelT5, Depth: 6, Heads: 8, Width: 512, HeadWidth: 64, Buckets: 32, Distance: 128, Tied: true}, tokens: 32128}
	meta := facts{Model: config.Model{Kind: config.ModelLLaMA, Depth: 32, Heads: 32, Width: 4096, Hidden: 11008, RopeTheta: 10000, Epsilon: 1e-6}, tokens: 32000, positions: 2048}
	for _, test := range []struct {
		facts  facts
		config string
		skips  bool
		want   string
	}{
		{gpt, `{"model_type": "gpt2"}`, false, ""},
		{gpt, `{"n_ctx": 7, "layer_norm_epsilon": 1e-05, "n_inner": null, "activation_function": "gelu_pytorch_tanh"}`, false, ""},
		{gpt, `{"activation_function": "gelu", "layer_norm_epsilon": 1e-6, "tie_word_embeddings": false}`, false,
			"activation_function is gelu, and the model has gelu_new (model.activation); layer_norm_epsilon is 1e-06, and the model has 1e-05; tie_word_embeddings is false, and the model has true"},
		{gpt, `{"n_layer": "12", "n_head": [1], "n_inner": 3071.5}`, false,
			`n_layer is 12, and the model has 12 (model.depth); n_head is [1], and the model has 12 (model.heads); n_inner is 3071.5, and the model has 3072 (model.hidden)`},
		{gpt, `{"scale_attn_by_inverse_layer_idx": true, "vocab_size": 50264}`, false,
			"vocab_size is 50264, and the data has 50257 tokens: read them by the folder's own tokenizer or, if the model's vocabulary is padded, set model.vocabulary: 50264; scale_attn_by_inverse_layer_idx is true"},
		{bertClasses, `{"id2label": {"0": "no", "1": "yes"}}`, false, ""},
		{bertClasses, `{"num_labels": 3, "type_vocab_size": 16, "position_embedding_type": "relative_key"}`, false, "type_vocab_size is 16, and the model has 2; position_embedding_type is relative_key, and the model has absolute; it has 3 classes, and the data has 2: take another head by model.init_skip: [classifier]"},
		{bertClasses, `{"num_labels": 3}`, true, ""},
		{small, `{}`, false, ""},
		{meta, `{}`, false, ""},
		{meta, `{"rope_scaling": {"type": "linear", "factor": 2.0}}`, false, "rope_type is linear, and the model has default"},
		{meta, `{"rope_parameters": {"rope_type": "llama3", "factor": 8.0, "rope_theta": 500000.0}, "attention_bias": true, "mlp_bias": true}`, false,
			"rope_theta is 500000, and the model has 10000 (model.rope_theta); rope_type is llama3, and the model has default; attention_bias is true, and the model has false; mlp_bias is true, and the model has false"},
		{meta, `{"hidden_act": "gelu", "head_dim": 64, "num_key_value_heads": 8, "rope_parameters": {"partial_rotary_factor": 0.5}}`, false,
			"num_key_value_heads is 8, and the model has 32 (model.kv_heads); head_dim is 64, and the model has 128 (model.head_width); partial_rotary_factor is 0.5, and the model has 1; hidden_act is gelu, and the model has silu"},
		{small, `{"feed_forward_proj": "gated-gelu", "num_decoder_layers": 4, "scale_decoder_outputs": false}`, false,
			"num_decoder_layers is 4, and the model has 6 (model.depth); scale_decoder_outputs is false, and the model has true (model.tied); feed_forward_proj is gated-gelu, and the model has relu"},
	} {
		c, err := parseConfig("config.json", []byte(test.config))
		if err != nil {
			t.Fatal(err)
		}
		f := test.facts
		err = c.compare(families[f.Kind], &f, test.skips)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "config.json is of another model: "+test.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, want %s", test.config, err, test.want)
		}
	}
}

func FuzzConfig(f *testing.F) {
	for _, text := range []string{`{"model_type": "gpt2"}`, `{"model_type":"t5","d_model":1e300,"d_kv":-1}`, `{"model_type":"llama","rope_parameters":[],"rope_scaling":{"type":{}},"num_attention_heads":0,"head_dim":null}`, `{"model_type":"bert","id2label":{"0":[]},"hidden_act":{}}`, `[`, `{"n_inner":{"a":null}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig("config.json", text)
		if err == nil {
			for kind, of := range families {
				m := config.Model{Kind: kind}
				for i := range of.entries {
					if e := &of.entries[i]; e.adopt != nil {
						e.adopt(&m, c.value(e))
					}
				}
				if err := c.compare(of, &facts{Model: m, classes: 2}, false); err != nil && strings.ContainsAny(err.Error(), "\n\x00") {
					t.Errorf("%q", err)
				}
			}
		} else if strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%q", err)
		}
	})
}
