package checkpoint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/plan"
	"ringmaster/internal/test/cost"
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
	mapping := func(name, file string) map[string][]byte {
		return shards(`{"weight_map": {"` + name + `": "` + file + `"}}`)
	}
	with := func(shard string) map[string][]byte {
		files := mapping("module.0.weight", firstShard)
		files[firstShard] = []byte(shard)
		return files
	}
	header := func(text string, data int) string { return string(prefixLength(text)) + strings.Repeat("x", data) }
	for _, test := range []struct {
		files map[string][]byte
		want  string
	}{
		{mapping("a", "/etc/passwd"), "index.json: tensor a would be in \"/etc/passwd\", which is no name of a file beside the index"},
		{mapping("a", "../"+firstShard), "which is no name of a file beside the index"},
		{mapping("a", ".."), "which is no name of a file beside the index"},
		{mapping("a", "sub/x.safetensors"), "which is no name of a file beside the index"},
		{mapping("a", ""), "which is no name of a file beside the index"},
		{mapping("a", firstShard), firstShard + ": the index says that it has tensor a, but it has not: get both again, from one place"},
		{mapping("module.0.weight", secondShard), secondShard + ": the index says that it has tensor module.0.weight, but it has not"},
		{mapping("a", "none.safetensors"), "index.json names files that are not there, 1 of 1: get none.safetensors too"},
		{mapping("a", "line\\nbreak"), "names files that are not there, 1 of 1: get line"},
		{mapping("a", "model.safetensors.index.json"), "model.safetensors.index.json: its first 8 bytes announce"},
		{shards(`{"weight_map": {"a": "` + firstShard + `", "a": "` + secondShard + `"}}`), `weight_map: the key "a" comes twice`},
		{shards(`{"weight_map": {"a": "` + firstShard + `"}, "weight_map": {}}`), `the top: the key "weight_map" comes twice`},
		{shards(`{"metadata": 1, "metadata": 2}`), `the top: the key "metadata" comes twice`},
		{shards(`{"weight_map": {"a": 3}}`), "a: found 3 where a string belongs"},
		{shards(`{"weight_map": {"a": ["` + firstShard + `"]}}`), "a: found [ where a string belongs"},
		{shards(`{"weight_map": []}`), "weight_map: found [ where { belongs"},
		{shards(`{"weight_map": {}}`), "its weight_map names 0 files, where 1 to 4096 belong"},
		{shards(`{}`), "its weight_map names 0 files"},
		{shards(`[]`), "the top: found [ where { belongs"},
		{shards(`{"weight_map": `), "model.safetensors.index.json: its JSON text ends too early, at weight_map"},
		{shards(`{"weight_map": {"a": "` + firstShard + `"}} x`), "there is more after the index's JSON object"},
		{shards(`{"metadata": ` + strings.Repeat("[", 1<<20)), "values are nested more than 32 deep beside the weight_map"},
		{shards(`{"metadata": {"total_size": 1e`), "index.json: it ends too early"},
		{twice, "tensor module.0.weight is in both"},
		{twice, "remove the file that is not the model's"},
		{with(header(`{}`, 0)), firstShard + ": the index says that it has tensor module.0.weight, but it has not"},
		{with("\x00\x00\x00\x00\x00\x00\x00\x10{}"), firstShard + ": its first 8 bytes announce a header of 1152921504606846976 bytes, where 2 follow"},
		{with("\xff\xff\xff\xff\xff\xff\xff\xff{}"), "announce a header of 18446744073709551615 bytes, where 2 follow"},
		{with("abc"), firstShard + ": it ends at byte 3, within the 8 bytes that begin a safetensors file: get it again"},
		{with(header(`{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}`, 12)), "tensor b begins at byte 4 of the data, the one before it ends at 8"},
		{with(header(`{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}`, 16)), "tensor a begins at byte 8 of the data, the one before it ends at 0"},
		{with(header(`{"a": {"dtype": "F32", "shape": [1073741824], "data_offsets": [0, 4294967296]}}`, 8)), "its tensors take 4294967296 bytes, but 8 follow its header: it is cut short"},
		{with(header(`{"a": {"dtype": "F32", "shape": [9223372036854775807, 2], "data_offsets": [0, 8]}}`, 8)), "does not take the bytes [0,8)"},
		{with(header(`{"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}`, 8)), "does not take the bytes [8,0)"},
		{with(header(`{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}`, 16)), `the key "a" comes twice`},
		{with(header(`{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 99999999999999999999]}}`, 8)), "wants at most 2 whole numbers, not 99999999999999999999"},
	} {
		var err error
		cost.Bound(t, 64<<10, 64, func() { _, err = OpenWeights(shardsOf(t, test.files)) })
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

// An index of a gigabyte is refused by its first bytes.
func TestWeightsOfLargeIndex(t *testing.T) {
	dir := shardsOf(t, shards(`{"weight_map": {"module.0.weight": "`+firstShard+`"}}`))
	if err := os.Truncate(filepath.Join(dir, "model.safetensors.index.json"), 1<<30); err != nil {
		t.Fatal(err)
	}
	var err error
	cost.Bound(t, 1<<10, 1, func() { _, err = OpenWeights(dir) })
	if err == nil || !strings.Contains(err.Error(), "index.json has 1073741824 bytes, more than the 16777216 of an index") {
		t.Error(err)
	}
}

// An index does not choose which files of a machine are read, by links either; where the hub's programs keep their files it may.
func TestWeightsBehindLinks(t *testing.T) {
	all := shards(`{"weight_map": {"module.0.weight": "` + firstShard + `", "module.1.weight": "` + secondShard + `"}}`)
	for _, test := range []struct{ place, want string }{
		{"elsewhere", "index.json: the file " + firstShard + " that it names is a link to "},
		{"models--a--b/blobs", ""},
		{"dir/kept", ""},
		{"", "names files that are not there, 1 of 2: get " + firstShard + " too"},
	} {
		root := t.TempDir()
		dir, target := filepath.Join(root, "dir"), filepath.Join(root, test.place, "shard")
		for _, folder := range []string{dir, filepath.Dir(target)} {
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for name, content := range all {
			path := filepath.Join(dir, name)
			if name == firstShard {
				if err := os.Symlink(target, path); err != nil {
					t.Fatal(err)
				}
				if path = target; test.place == "" {
					continue
				}
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := OpenWeights(dir)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.place, err, test.want)
		}
	}
}

// Whatever an index holds, what it costs is bounded, and it names files beside it or is refused in one line.
func FuzzIndexOfShards(f *testing.F) {
	for _, seed := range []string{`{"metadata": {"total_size": 8}, "weight_map": {"a": "b.safetensors", "c": "b.safetensors"}}`, `{"weight_map": {"a": "../b"}}`,
		`{"weight_map": {"a": "b", "a": "c"}}`, `{"metadata": [[[{"x": [1, 2.5e3, null, true]}]]], "weight_map": {}}`, `{"weight_map": {"a": "b\u0000\n"}}`, `{"weight_map": `, "[]", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var places map[string]string
		var err error
		cost.Bound(t, len(text), 2048, func() { places, err = parseIndex(text) })
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("several lines: %q", err)
		}
		for _, file := range places {
			if err == nil && (strings.ContainsRune(file, filepath.Separator) || file == ".." || file == "." || file == "") {
				t.Errorf("%q is no file beside the index", file)
			}
		}
	})
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
