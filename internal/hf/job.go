package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"ringmaster/internal/config"
)

// contextOfT5 is how many tokens a text and its answer may have where a folder's config.json, as T5's does, sets no bound.
const contextOfT5 = 512

// maxContext is the most that data.context may be.
const maxContext = 1 << 16

// ErrMute is wrapped by the error for a folder of a model that writes no texts.
var ErrMute = errors.New("it writes no texts; gpt2, llama and t5 do")

// Job is a job whose model is that of the folder and whose texts are read by the folder's tokenizer. Nothing can be trained by it: it names no data.
func (c *Config) Job() (*config.Job, error) {
	kind := ""
	for k, f := range families {
		if f.name == c.modelType() && f.speaks {
			kind = k
		}
	}
	dir := filepath.Dir(c.path)
	if kind == "" {
		return nil, fmt.Errorf("%s is of a model of type %s: %w", c.path, shown(c.modelType()), ErrMute)
	}
	tokens, ok := whole(c.values["vocab_size"])
	if !ok || tokens < 1 {
		return nil, fmt.Errorf("%s: vocab_size is %s; it must be the number of tokens", c.path, shown(c.values["vocab_size"]))
	}
	data := map[string]any{"kind": config.DataText, "dir": dir, "tokenizer": dir}
	if kind == config.ModelT5 {
		data = map[string]any{"kind": config.DataPairs, "train": dir, "source": "source", "target": "target", "tokenizer": dir, "context": contextOfT5, "target_context": contextOfT5}
	} else if n, ok := whole(c.values[map[string]string{config.ModelGPT: "n_positions", config.ModelLLaMA: "max_position_embeddings"}[kind]]); ok {
		data["context"] = min(n, maxContext)
	}
	text, err := json.Marshal(map[string]any{"name": "pretrained", "seed": 1, "seats": 1, "model": map[string]any{"kind": kind, "init": dir, "vocabulary": tokens}, "data": data,
		"train": map[string]any{"steps": 1, "batch_per_seat": 1, "optimizer": map[string]any{"kind": "sgd", "lr": 0.1}}})
	if err != nil {
		return nil, err
	}
	job, err := config.Parse(c.path, text, nil)
	if err != nil {
		return nil, err
	}
	return job, Settle(job)
}
