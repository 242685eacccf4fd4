package hf

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ringmaster/internal/config"
)

// contextOfT5 is how many tokens a text and its answer may have where a folder's config.json, as T5's does, sets no bound.
const contextOfT5 = 512

// maxContext is the most that data.context may be.
const maxContext = 1 << 16

// types are the types of models that are read.
func types() []string {
	var names []string
	for _, f := range families {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}

// Labels are the names of the classes, in their order, of a model that classifies texts; nil of others.
func (c *Config) Labels() []string {
	classes, is := c.values["architectures"].([]any)
	if !is || len(classes) != 1 || classes[0] != bert.classes(&facts{classes: 1}) {
		return nil
	}
	n, said := c.classes()
	if !said {
		n = 2 // transformers' default
	}
	f := &facts{classes: n, labels: make([]string, min(n, maxClasses))}
	names, _ := c.values["id2label"].(map[string]any)
	for k := range f.labels {
		if name, is := names[strconv.Itoa(k)].(string); is {
			f.labels[k] = name
		} else {
			f.labels[k] = "LABEL_" + strconv.Itoa(k)
		}
	}
	return f.labels
}

// maxClasses bounds the classes of a model of texts.
const maxClasses = 1 << 16

// data is how texts are read for the folder's model.
func (c *Config) data(kind, dir string) map[string]any {
	data := map[string]any{"kind": config.DataText, "dir": dir, "tokenizer": dir}
	for _, name := range []string{"n_positions", "max_position_embeddings"} {
		if n, ok := whole(c.values[name]); ok {
			data["context"] = min(n, maxContext)
		}
	}
	switch {
	case kind == config.ModelT5:
		return map[string]any{"kind": config.DataPairs, "train": dir, "source": "source", "target": "target", "tokenizer": dir, "context": contextOfT5, "target_context": contextOfT5}
	case kind == config.ModelBERT && c.Labels() != nil:
		delete(data, "dir")
		data["kind"], data["train"], data["texts"] = config.DataCSV, dir, []string{"text"}
		data["target"], data["categories"] = "label", []string{"label"}
	case kind == config.ModelBERT:
		data["mask"] = 0.15
	}
	return data
}

// Job is a job whose model is that of the folder and whose texts are read by the folder's tokenizer. Nothing can be trained by it: it names no data.
func (c *Config) Job() (*config.Job, error) {
	kind := ""
	for k, f := range families {
		if f.name == c.modelType() {
			kind = k
		}
	}
	dir := filepath.Dir(c.path)
	if kind == "" {
		return nil, fmt.Errorf("%s is of a model of type %s, which is none of those read: %s", c.path, shown(c.modelType()), strings.Join(types(), ", "))
	}
	tokens, ok := whole(c.values["vocab_size"])
	if !ok || tokens < 1 {
		return nil, fmt.Errorf("%s: vocab_size is %s; it must be the number of tokens", c.path, shown(c.values["vocab_size"]))
	}
	data := c.data(kind, dir)
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
