package checkpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"ringmaster/internal/test/cost"
)

func testManifest() *Manifest {
	return &Manifest{Version: ManifestVersion, Job: "mnist <mlp> & more", Step: 500, Generation: 3, Seats: 4,
		Digest: Hash{1}, StateDigest: Hash{2}, Fingerprint: Hash{3}, Position: Position{1, 500, 16000},
		Sums:   EpochSums{Loss: 0.1 + 0.2, Count: math.MaxUint64, Correct: 1<<53 + 1},
		Epochs: []EpochMetrics{{Epoch: 1, Step: 400, TrainLoss: math.NaN(), HasEval: true, EvalLoss: math.Inf(1), EvalAccuracy: 1.0 / 3, EvalCount: 10}, {Epoch: 2, TrainLoss: math.Inf(-1), HasEval: true, EvalLoss: math.Copysign(0, -1), EvalAccuracy: 5e-324, EvalCount: 3, Metrics: "f1=0.25 auc=NaN"}},
		Config: "name: \"mnist\"\nseed: 1\n", Data: json.RawMessage(`{"classes":2,"characters":"<\u2028 &\""}`),
		Files: []File{{"model-00001-of-00002.safetensors", 100, Hash{4}}, {"model-00002-of-00002.safetensors", 8, Hash{5}},
			{"optim-00001-of-00001.safetensors", 12, Hash{6}}}}
}

func TestManifestRoundTripKeepsEveryBit(t *testing.T) {
	for version := 1; version <= ManifestVersion; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) { roundTrip(t, version) })
	}
}

func roundTrip(t *testing.T, version int) {
	m := testManifest()
	m.Version = version
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		t.Fatal(err)
	}
	// The coordinators' log keeps the manifest as raw JSON, which loses its white space on the way.
	inLog, err := json.Marshal(struct{ Manifest json.RawMessage }{data})
	if err != nil {
		t.Fatal(err)
	}
	var outOfLog struct{ Manifest json.RawMessage }
	if err := json.Unmarshal(inLog, &outOfLog); err != nil {
		t.Fatal(err)
	}
	for _, form := range [][]byte{data, compact.Bytes(), outOfLog.Manifest} {
		got, err := ParseManifest(form)
		if err != nil {
			t.Fatal(err)
		}
		again, err := got.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, data) {
			t.Errorf("encoded again:\n%s\nwas:\n%s", again, data)
		}
		if got.Sums != m.Sums || len(got.Epochs) != 2 {
			t.Fatalf("got %+v", got)
		}
		for i, e := range got.Epochs {
			want := m.Epochs[i]
			for _, pair := range [][2]float64{{e.TrainLoss, want.TrainLoss}, {e.EvalLoss, want.EvalLoss}, {e.EvalAccuracy, want.EvalAccuracy}} {
				if math.Float64bits(pair[0]) != math.Float64bits(pair[1]) {
					t.Errorf("epoch %d: %v came back as %v", i+1, pair[1], pair[0])
				}
			}
		}
		if !reflect.DeepEqual(got.Files, m.Files) || got.Config != m.Config || got.Job != m.Job || got.Bytes() != 120 {
			t.Errorf("got %+v", got)
		}
	}
}

// No change of one byte goes unnoticed, unless it changes white space only.
func TestManifestChangedBytes(t *testing.T) {
	data, err := testManifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		for _, flip := range []byte{0x01, 0x20, 0x80} {
			bad := bytes.Clone(data)
			bad[i] ^= flip
			m, err := ParseManifest(bad)
			if err != nil {
				continue
			}
			if again, _ := m.Encode(); !bytes.Equal(again, data) {
				t.Fatalf("byte %d changed from %q to %q was not noticed", i, data[i], bad[i])
			}
		}
	}
	for i := range len(data) - 1 {
		if _, err := ParseManifest(data[:i]); err == nil && i < len(data)-1 {
			t.Fatalf("%d of %d bytes were taken for a manifest", i, len(data))
		}
	}
	if _, err := ParseManifest(append(bytes.Clone(data), "{}"...)); err == nil {
		t.Error("bytes after the manifest were not noticed")
	}
}

func TestManifestRefusals(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Manifest)
		want   string
	}{
		{"version", func(m *Manifest) { m.Version = 3 }, "version 3"},
		{"no files", func(m *Manifest) { m.Files = nil }, "no model file"},
		{"a share missing", func(m *Manifest) { m.Files = m.Files[1:] }, "1 of 2 model files"},
		{"a share twice", func(m *Manifest) { m.Files[1] = m.Files[0] }, "does not go with the others"},
		{"another count", func(m *Manifest) { m.Files[1].Name = "model-00002-of-00003.safetensors" }, "does not go with the others"},
		{"a path", func(m *Manifest) { m.Files[0].Name = "../model-00001-of-00002.safetensors" }, "is not the name of a share"},
		{"an absolute path", func(m *Manifest) { m.Files[0].Name = "/etc/passwd" }, "is not the name of a share"},
		{"itself", func(m *Manifest) { m.Files[0].Name = ManifestName }, "is not the name of a share"},
		{"index beyond count", func(m *Manifest) { m.Files[0].Name = "model-00003-of-00002.safetensors" }, "is not the name of a share"},
		{"negative size", func(m *Manifest) { m.Files[0].Bytes = -1 }, "has -1 bytes"},
		{"huge size", func(m *Manifest) { m.Files[0].Bytes = math.MaxInt64 }, "bytes"},
		{"no seats", func(m *Manifest) { m.Seats = 0 }, "0 seats"},
		{"not UTF-8", func(m *Manifest) { m.Config = "\xff" }, "UTF-8"},
	}
	for _, c := range cases {
		m := testManifest()
		c.change(m)
		if _, err := m.Encode(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestFolderNames(t *testing.T) {
	for _, c := range []struct {
		name string
		ok   bool
	}{
		{"step-0000000500-g2", true}, {"step-0000000000-g0", true}, {"step-18446744073709551615-g18446744073709551615", true},
		{"step-500-g2", false}, {"step-0000000500-g02", false}, {"step-00000000500-g2", false}, {"step-18446744073709551616-g1", false},
		{"step-0000000500-g2/..", false}, {"..", false}, {"", false}, {"step-0000000500", false}, {"xstep-0000000500-g2", false},
		{"step-0000000500-g2\n", false}, {"step-0000000500-g2-00c0ffee00c0ffee", true}, {"step-0000000500-g2-ffffffffffffffff", true},
		{"step-0000000500-g2-0000000000000000", false}, {"step-0000000500-g2-c0ffee", false}, {"step-0000000500-g2-00C0FFEE00C0FFEE", false},
	} {
		name, ok := ParseName(c.name)
		if ok != c.ok || (ok && name.Folder() != c.name) {
			t.Errorf("%q: %+v %v", c.name, name, ok)
		}
	}
}

// A manifest that was written by version 1 of the format, byte by byte.
func TestManifestOfVersion1(t *testing.T) {
	const text = `{
  "version": 1,
  "job": "j",
  "step": 5,
  "generation": 1,
  "seats": 1,
  "digest": "0000000000000000000000000000000000000000000000000000000000000000",
  "state_digest": "0000000000000000000000000000000000000000000000000000000000000000",
  "fingerprint": "0000000000000000000000000000000000000000000000000000000000000000",
  "position": {
    "epoch": 1,
    "step_in_epoch": 5,
    "samples": 5
  },
  "epoch_sums": {
    "loss": 0.5,
    "count": 5,
    "correct": 1
  },
  "epochs": [
    {
      "epoch": 1,
      "step": 5,
      "train_loss": 0.25,
      "has_eval": false,
      "eval_loss": 0,
      "eval_accuracy": 0,
      "eval_count": 0
    }
  ],
  "config": "name: j\n",
  "files": [
    {
      "name": "model-00001-of-00001.safetensors",
      "bytes": 8,
      "sha256": "0000000000000000000000000000000000000000000000000000000000000000"
    }
  ],
  "checksum": "SUM"
}
`
	const sum = "427a79aed165e846cfdeaed1cbc4b1c3b0c0d8c617c7108400758d1fa944637b"
	m, err := ParseManifest([]byte(strings.Replace(text, "SUM", sum, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := m.Encode(); err != nil || string(again) != strings.Replace(text, "SUM", sum, 1) || len(m.Epochs) != 1 {
		t.Errorf("%s, %v", again, err)
	}
}

// A thousand epochs take a row each.
func TestManifestGrowsByRows(t *testing.T) {
	size := func(n int) int {
		m := testManifest()
		m.Epochs = nil
		for e := range n {
			m.Epochs = append(m.Epochs, EpochMetrics{Epoch: e + 1, Step: uint64(469 * (e + 1)), TrainLoss: 1 / (3.7 + float64(e)), HasEval: true, EvalLoss: 1 / (2.3 + float64(e)), EvalAccuracy: 0.9764, EvalCount: 10000})
		}
		data, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return len(data)
	}
	if row := (size(1000) - size(0)) / 1000; row > 90 {
		t.Errorf("an epoch takes %d bytes", row)
	}
}

func FuzzManifest(f *testing.F) {
	data, err := testManifest().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":2,"epochs":[[1,10,"NaN"],[2,20,0.5,1e-3,0.9,100]]}`))
	old := testManifest()
	old.Version = 1
	if data, err = old.Encode(); err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"epochs":[{"train_loss":"NaN"}],"digest":"00"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Whoever writes a manifest can sum it up too. Left as it came, hardly any but the first would come past the checksum.
		var version struct {
			Version int `json:"version"`
		}
		_ = json.Unmarshal(data, &version) // 0 is read as the newest
		if summed, err := parseFields(data, version.Version); err == nil {
			if summed.Checksum, err = summed.checksum(); err != nil {
				t.Fatal(err)
			}
			if data, err = summed.fields(); err != nil {
				t.Fatal(err)
			}
		}
		var m *Manifest
		var err error
		cost.Bound(t, len(data), 1<<10, func() { m, err = ParseManifest(data) })
		if err != nil {
			return
		}
		once, err := m.Encode()
		if err != nil {
			t.Fatalf("read but not written again: %v", err)
		}
		if m, err = ParseManifest(once); err != nil {
			t.Fatalf("written but not read again: %v", err)
		}
		if twice, err := m.Encode(); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s is written as %s, %v", once, twice, err)
		}
	})
}

// The weight of the targets is kept in every bit; sums without one are written as before there were weights.
func TestSumsKeepTheirWeight(t *testing.T) {
	for _, want := range []EpochSums{{Loss: 1.5, Count: 3, Correct: 1, Weight: 1.0 / 3}, {Loss: 1.5, Count: 3, Correct: 1}} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got EpochSums
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
		if want.Weight == 0 && string(text) != `{"loss":1.5,"count":3,"correct":1}` {
			t.Errorf("without weights: %s", text)
		}
	}
}
