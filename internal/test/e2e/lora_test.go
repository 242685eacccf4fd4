package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Adapters on a run's weights: the same bits on any cluster and after an interruption, understood by eval, and written merged and for PEFT.
func TestAdapters(t *testing.T) {
	file := config(t, "quickstart.yaml")
	base := job{file: file, args: []string{"--set", "train.steps=30"}, workers: 1}.start(t)
	base.end(0)
	args := []string{"--set", "model.init=" + base.dir, "--set", `model.lora={rank: 4, alpha: 8, targets: ["0", "2"], train: ["4"]}`, "--set", "train.schedule.horizon=40"}
	until := func(steps string) []string { return append([]string{"--set", "train.steps=" + steps}, args...) }
	whole := job{file: file, args: until("40"), workers: 1}.start(t)
	want := whole.end(0)
	if text := whole.stdout.String(); !strings.Contains(text, "from the seed: 0.lora_A.weight") || !strings.Contains(text, "frozen: 4 tensors with 116992 of the 122954 parameters") {
		t.Errorf("launch does not say what is trained: %s", text)
	}
	cut := job{file: file, args: until("20"), workers: 3}.start(t)
	cut.end(0)
	got := job{file: file, dir: cut.dir, args: append(until("40"), "--resume"), workers: 2}.run(t, 0)
	if got.Digest != want.Digest || got.StateDigest != want.StateDigest {
		t.Errorf("on another cluster, interrupted: digest %s, want %s", got.Digest, want.Digest)
	}
	type score struct{ Loss, Accuracy float64 }
	adapted := ask[score](t, "eval", whole.dir, "--json")
	if adapted.Loss != float64(want.Eval.Loss) {
		t.Errorf("eval says %v, the run %v", adapted.Loss, want.Eval.Loss)
	}
	dir := t.TempDir()
	merged := filepath.Join(dir, "merged.safetensors")
	if code, _, stderr := run(t, dir, "export", whole.dir, "--merge", "--out", merged); code != 0 {
		t.Fatalf("export --merge: %s", stderr)
	}
	if plain := ask[score](t, "eval", merged, "--json"); plain.Loss < adapted.Loss-1e-5 || plain.Loss > adapted.Loss+1e-5 {
		t.Errorf("the merged model has loss %v, with adapters %v", plain.Loss, adapted.Loss)
	}
	if code, _, stderr := run(t, dir, "export", whole.dir, "--format", "peft", "--out", filepath.Join(dir, "peft")); code != 0 {
		t.Fatalf("export --format peft: %s", stderr)
	}
	text, err := os.ReadFile(filepath.Join(dir, "peft", "adapter_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var about map[string]any
	if err := json.Unmarshal(text, &about); err != nil {
		t.Fatal(err)
	}
	if about["peft_type"] != "LORA" || about["r"] != 4.0 || about["lora_alpha"] != 8.0 || about["target_modules"] != "0|2" {
		t.Errorf("adapter_config.json is %s", text)
	}
	code, _, stderr := run(t, dir, "export", base.dir, "--merge", "--out", merged)
	if code != 2 || !strings.Contains(stderr, "has no adapters (model.lora)") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("a model without adapters: exit code %d, %s", code, stderr)
	}
}
