package config

import (
	"slices"
	"strings"
	"testing"
)

// Every key that is offered is one that a job file may have.
func TestJobKeysAreKeysOfAJob(t *testing.T) {
	keys := JobKeys()
	for _, key := range []string{"seed", "seats", "data.dir", "train.steps", "train.optimizer.lr", "checkpoint.every_steps", "model.lora.rank"} {
		if !slices.Contains(keys, key) {
			t.Errorf("%s is missing", key)
		}
	}
	for _, key := range keys {
		_, err := Parse("job.yaml", []byte("name: a\n"), []string{key + "=1"})
		if err != nil && strings.Contains(err.Error(), "unknown") {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := Parse("job.yaml", []byte("name: a\n"), []string{"train.stepps=1"}); err == nil || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("a key that does not exist: %v", err)
	}
}
