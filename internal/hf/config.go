// Package hf reads and writes models as folders in the form of Hugging Face's transformers: safetensors files with config.json, the tokenizer's
// files and a model card beside them.
package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/printable"
	"ringmaster/internal/regularfile"
)

const (
	configName = "config.json"
	maxConfig  = 1 << 20 // bytes; the names of a thousand classes take some 50,000
)

// Config is what a folder's config.json says of its model.
type Config struct {
	path   string
	values map[string]any // as JSON has them: float64, string, bool, nil, lists and maps
}

// ReadConfig reads the config.json of a folder; nil where the path is no folder or the folder has none.
func ReadConfig(dir string) (*Config, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, nil // those who read the weights say what is wrong with the path
	}
	path := filepath.Join(dir, configName)
	f, err := regularfile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if detailed := (*fs.PathError)(nil); errors.As(err, &detailed) {
		return nil, fmt.Errorf("%s: %w", path, detailed.Err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, err
	}
	return parseConfig(path, text)
}

// parseConfig reads the text of a config.json.
func parseConfig(path string, text []byte) (*Config, error) {
	if len(text) > maxConfig {
		return nil, fmt.Errorf("%s has more than the %d bytes of a configuration", path, maxConfig)
	}
	c := &Config{path: path}
	if err := json.Unmarshal(text, &c.values); err != nil {
		return nil, fmt.Errorf("%s: it %s", path, checkpoint.JSONFault(err))
	}
	if c.values == nil {
		return nil, fmt.Errorf("%s: it is null, where an object belongs", path)
	}
	return c, nil
}

// modelType is the family that the file names.
func (c *Config) modelType() string {
	kind, _ := c.values["model_type"].(string)
	return kind
}

// family finds the family that the job's model kind and the file agree on.
func (c *Config) family(m *config.Model) (*family, error) {
	of := families[m.Kind]
	switch kind := c.modelType(); {
	case of == nil:
		return nil, nil
	case kind == "":
		return nil, fmt.Errorf("%s names no model_type, where %q belongs for model.kind: %s", c.path, of.name, m.Kind)
	case kind != of.name:
		return nil, fmt.Errorf("%s is of a model of type %q, and model.kind: %s reads %q", c.path, printable.Line(kind, maxShown), m.Kind, of.name)
	}
	return of, nil
}

// maxShown is how much of a value from outside a message shows.
const maxShown = 60

// shown is a value as a message shows it.
func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return "null"
	case string:
		return printable.Line(v, maxShown)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return "a value"
	}
	return printable.Line(string(text), maxShown)
}

// whole is a value as a whole number; not ok where it is none.
func whole(value any) (n int, ok bool) {
	f, is := value.(float64)
	if !is || f != float64(int(f)) || f < 0 || f > 1<<31 {
		return 0, false
	}
	return int(f), true
}
