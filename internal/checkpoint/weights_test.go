package checkpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/plan"
)

// shardsOf writes files into a folder.
func shardsOf(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	firstShard  = "model-00001-of-00002.safetensors"
	secondShard = "model-00002-of-00002.safetensors"
)

// shards is a state dict in two files, with an index.
func shards(index string) map[string][]byte {
	all := stateDict("module.")
	return map[string][]byte{firstShard: fileWith(all[:2]...), secondShard: fileWith(all[2:]...), "model.safetensors.index.json": []byte(index)}
}

// However the tensors are spread over files, they are the same weights.
func TestWeightsInShards(t *testing.T) {
	whole := map[string][]byte{"a.safetensors": fileWith(stateDict("module.")...)}
	indexed := shards(`{"metadata": {}, "weight_map": {"module.0.weight": "` + firstShard + `", "module.1.weight": "` + secondShard + `"}}`)
	indexed["optimizer.safetensors"] = []byte("not of the index")
	plain := shards("")
	delete(plain, "model.safetensors.index.json")
	var digest Hash
	for i, files := range []map[string][]byte{whole, indexed, plain} {
		w, err := OpenWeights(shardsOf(t, files))
		if err != nil {
			t.Fatal(err)
		}
		l := normed(t)
		s := l.NewState()
		taken, err := w.Load(t.Context(), l, Choice{}, s)
		if err != nil || taken.Tensors != 4 || s.Params[0] != 1 || s.Params[2] != 3 || s.Stats[1] != 5 {
			t.Fatalf("%d: %+v, %v, %v", i, taken, s.Params, err)
		}
		if i == 0 {
			digest = taken.Digest
		} else if taken.Digest != digest {
			t.Errorf("%d: another digest", i)
		}
	}
}

func TestWeightsOfBadFolders(t *testing.T) {
	twice := shards("")
	delete(twice, "model.safetensors.index.json")
	twice[secondShard] = twice[firstShard]
	for _, test := range []struct {
		files map[string][]byte
		want  string
	}{
		{shards(`{"weight_map": {"a": "/etc/passwd"}}`), "which is no name of a file beside the index"},
		{shards(`{"weight_map": {"a": "` + firstShard + `"}}`), "the index says that it has tensor a, but it has not"},
		{shards(`{"weight_map": {"a": "none.safetensors"}}`), "none.safetensors: no such file or directory"},
		{shards(`{"weight_map": {"a": "../` + firstShard + `"}}`), "which is no name of a file beside the index"},
		{shards(`{"weight_map": {"a": "` + firstShard + `", "a": "` + secondShard + `"}}`), `weight_map: the key "a" comes twice`},
		{shards(`{"weight_map": {"a": 3}}`), "a: found 3 where a string belongs"},
		{shards(`{"weight_map": {}}`), "its weight_map names 0 files"},
		{shards(`{"weight_map": `), "model.safetensors.index.json: it ends too early"},
		{twice, "tensor module.0.weight is in both"},
	} {
		if _, err := OpenWeights(shardsOf(t, test.files)); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

// Whatever an index and a file hold, the answer is weights or one line.
func FuzzWeights(f *testing.F) {
	for name, content := range shards(`{"weight_map": {"module.0.weight": "` + firstShard + `"}}`) {
		f.Add([]byte(`{"weight_map": {"module.0.weight": "`+firstShard+`"}}`), content)
		f.Add(content, []byte(name))
	}
	l, err := NewLayout(1, []Tensor{{Name: "0.weight", Shape: []int{1, 2}, Interval: plan.Interval{Begin: 0, End: 2}}}, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, index, shard []byte) {
		w, err := OpenWeights(shardsOf(t, map[string][]byte{"model.safetensors.index.json": index, firstShard: shard}))
		if err == nil {
			_, err = w.Load(t.Context(), l, Choice{Loose: true}, l.NewState())
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("several lines: %q", err)
		}
	})
}
