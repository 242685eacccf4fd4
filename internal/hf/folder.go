package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/model"
)

// DefaultShardBytes is the size from which on weights are divided into several files, as transformers divides them.
const DefaultShardBytes = 5_000_000_000

// Export is a trained model that becomes a folder.
type Export struct {
	Job        *config.Job
	Model      *model.Model
	Data       *dataset.Data // without samples; its tokenizer and the names of its classes are written
	Layout     *checkpoint.Layout
	State      *checkpoint.State
	Origin     checkpoint.Origin
	Digest     checkpoint.Hash          // of the parameters
	Average    bool                     // the parameters are their moving average
	Epoch      *checkpoint.EpochMetrics // of the last evaluation; nil: none
	ShardBytes int64
}

// named is a file of the folder.
type named struct {
	name  string
	write func(io.Writer) error
}

// bytesFile is a file that holds the text.
func bytesFile(name string, text []byte) named {
	return named{name, func(w io.Writer) error { _, err := w.Write(text); return err }}
}

// jsonFile is a file that holds the value as JSON for people.
func jsonFile(name string, value any) (named, error) {
	text, err := json.MarshalIndent(value, "", "  ")
	return bytesFile(name, append(text, '\n')), err
}

// Kinds are the kinds of models that Write takes.
func Kinds() []string {
	return append(slices.Sorted(maps.Keys(families)), config.ModelMobileNetV2)
}

// Check says why the model cannot be written as a folder; nil where it can.
func (x *Export) Check() error {
	m := &x.Job.Model
	switch {
	case !slices.Contains(Kinds(), m.Kind):
		return fmt.Errorf("a model of kind %s is none of Hugging Face's: the format hf is for %s; take safetensors or onnx", m.Kind, strings.Join(Kinds(), ", "))
	case m.Form == config.FormKeras:
		return errors.New("a mobilenetv2 of Keras' form is no model of torchvision's: its padding and batch norms give other answers; take safetensors or onnx")
	case m.LoRA.Rank > 0:
		return errors.New("the model has adapters (model.lora), which the format hf does not hold: add --merge, or take --format peft")
	}
	return nil
}

// Write writes the folder, which appears whole or not at all. It must not exist, or be empty.
func Write(files disk.FS, dir string, x *Export) error {
	if err := x.Check(); err != nil {
		return err
	}
	all, err := x.files()
	if err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	empty, err := Vacant(files, dir)
	if err != nil {
		return err
	}
	partial := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".partial")
	if err := discard(files, partial); err != nil { // what an export left that was interrupted
		return err
	}
	if err := fill(files, partial, all); err != nil {
		return errors.Join(err, discard(files, partial))
	}
	if empty {
		if err := files.Remove(dir); err != nil {
			return errors.Join(err, discard(files, partial))
		}
	}
	if err := files.Rename(partial, dir); err != nil {
		return errors.Join(err, discard(files, partial))
	}
	return files.SyncDir(filepath.Dir(dir))
}

// Vacant refuses a folder that holds something: nothing is overwritten. It reports whether there is an empty one.
func Vacant(files disk.FS, dir string) (empty bool, err error) {
	info, err := files.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.Dir:
		return false, fmt.Errorf("%s is a file: name a new folder", dir)
	}
	found, err := files.List(dir)
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%s holds %s already: name a new folder, or delete that one", dir, found[0].Name)
	}
	return true, err
}

// fill makes a folder with the files, durably.
func fill(files disk.FS, dir string, all []named) error {
	if err := files.Mkdir(dir); err != nil {
		return err
	}
	for _, n := range all {
		f, err := files.Create(filepath.Join(dir, n.name))
		if err != nil {
			return err
		}
		if err := errors.Join(n.write(f), f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("write %s: %w", n.name, err)
		}
	}
	return files.SyncDir(dir)
}

// discard deletes a folder of files, if it is there.
func discard(files disk.FS, dir string) error {
	found, err := files.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range found {
		err = errors.Join(err, files.Remove(filepath.Join(dir, e.Name)))
	}
	return errors.Join(err, files.Remove(dir))
}

// files are the folder's files. config.json is the last: a folder without it is none of transformers'.
func (x *Export) files() ([]named, error) {
	shards, err := x.shards()
	if err != nil {
		return nil, err
	}
	f := factsOf(x.Job, x.Model)
	f.labels = x.Data.Labels
	texts, err := x.texts(f)
	if err != nil {
		return nil, err
	}
	described, err := x.described(f)
	if err != nil {
		return nil, err
	}
	return slices.Concat(shards, texts, []named{bytesFile("README.md", x.card(f))}, described), nil
}

// described are config.json and what goes with it.
func (x *Export) described(f *facts) ([]named, error) {
	of := families[x.Job.Model.Kind]
	if of == nil {
		config, err := jsonFile(configName, map[string]any{"library": "torchvision", "architecture": "mobilenet_v2", "variant": f.Variant,
			"num_classes": f.classes, "dropout": f.Dropout, "id2label": f.named(), "label2id": f.numbered()})
		return []named{config}, err
	}
	values := map[string]any{"model_type": of.name, "architectures": []string{of.classes(f)}, "dtype": "float32"}
	for i := range of.entries {
		if e := &of.entries[i]; !e.hidden {
			values[e.name] = e.of(f)
		}
	}
	ids := f.special.ids()
	maps.Copy(values, ids)
	maps.Copy(values, of.more(f))
	config, err := jsonFile(configName, values)
	if err != nil || !of.speaks {
		return []named{config}, err
	}
	generation := map[string]any{}
	for _, key := range []string{"bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id"} {
		if id, is := values[key]; is {
			generation[key] = id
		}
	}
	speech, err := jsonFile("generation_config.json", generation)
	return []named{speech, config}, err
}

// shards are the files of the weights, with their index where there are several.
func (x *Export) shards() ([]named, error) {
	pieces := x.Layout.Pieces()
	var groups [][]checkpoint.Piece
	bytes, total := int64(0), int64(0)
	for _, p := range pieces {
		if len(groups) == 0 || bytes+p.Bytes > x.ShardBytes && bytes > 0 {
			groups, bytes = append(groups, nil), 0
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], p)
		bytes, total = bytes+p.Bytes, total+p.Bytes
	}
	if len(groups) > maxShards {
		return nil, fmt.Errorf("the weights would take %d files of %d bytes, more than the %d that there may be: take larger ones", len(groups), x.ShardBytes, maxShards)
	}
	var all []named
	places := map[string]string{}
	for k, group := range groups {
		name, origin := "model.safetensors", x.Origin
		if len(groups) > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", k+1, len(groups))
		}
		if k > 0 {
			origin = checkpoint.Origin{}
		}
		for _, p := range group {
			places[p.Name] = name
		}
		all = append(all, named{name, func(w io.Writer) error { return x.Layout.WritePieces(w, group, x.State, origin) }})
	}
	if len(groups) == 1 {
		return all, nil
	}
	index, err := jsonFile("model.safetensors.index.json", map[string]any{"metadata": map[string]any{"total_size": total}, "weight_map": places})
	return append(all, index), err
}

// maxShards is how many files the weights may have.
const maxShards = 1 << 12
