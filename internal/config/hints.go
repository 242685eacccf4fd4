package config

import (
	"reflect"
	"strings"
)

// elsewhere is the key of a job that has a name in another place than where it was written, as people know it from other programs; "" where
// there is none, or several.
func elsewhere(name string) string {
	if key, ok := foreign[name]; ok {
		return key
	}
	var found []string
	var walk func(prefix string, t reflect.Type)
	walk = func(prefix string, t reflect.Type) {
		for i := range t.NumField() {
			field := t.Field(i)
			key := field.Tag.Get("yaml")
			if key == name && prefix != "" {
				found = append(found, join(prefix, key))
			}
			if key != "" && field.Type.Kind() == reflect.Struct {
				walk(join(prefix, key), field.Type)
			}
		}
	}
	walk("", reflect.TypeFor[Job]())
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// foreign are the names that other programs give to keys.
var foreign = map[string]string{
	"learning_rate": "train.optimizer.lr", "batch_size": "train.batch_per_seat", "batch": "train.batch_per_seat", "num_epochs": "train.epochs",
	"max_steps": "train.steps", "dataset": "data", "label": "data.target", "labels": "data.target", "workers": "--workers on the command line",
	"world_size": "seats", "scheduler": "train.schedule", "random_seed": "seed", "gradient_accumulation_steps": "train.accumulate",
}

// yamlHint says what usually causes a message of the YAML parser.
func yamlHint(message string) string {
	for text, hint := range map[string]string{
		"unexpected key name":                  "; is a space missing behind a colon?",
		"value is not allowed in this context": "; does the indentation match that of the lines above?",
		"must be specified":                    "; is a bracket not closed, or a comma missing?",
	} {
		if strings.Contains(message, text) {
			return hint
		}
	}
	return ""
}
